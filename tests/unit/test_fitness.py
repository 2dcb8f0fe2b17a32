"""What is said before the passphrase: verdicts, the lines on the screen, and a file that anybody may have changed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulpad.base.errors import ProgramFailed, StoreDamaged
from soulpad.base.run import Argument, Result
from soulpad.session import fitness
from soulpad.session.console import ConsoleGone
from soulpad.session.fitness import LARGEST_DESCRIPTION_BYTES, MOST_FINDINGS, advice, advise, read_description, verdicts
from soulpad.session.thispc import LEAST_MEMORY_MIB, Stick, ThisPc
from soulpad.store.cpuclass import ANY_PC, CLASSES, class_named
from soulpad.store.stick import ParcelRequirement, StickDescription

V3 = class_named("x86-64-v3")
STICK = Stick(Path("/dev/sdb"), Path("/dev/sdb5"), "0badcafe")
GOOD = ThisPc(8192, True, "vmx", CLASSES[-1].flags | {"vmx"})
OLD = replace(GOOD, flags=ANY_PC.flags)
SUSPENDED = ParcelRequirement("6a1f0c3e", ANY_PC.model, 2048, "kvm", "QEMU 10.0.13")
FRESH = replace(SUSPENDED, uuid="f3b9a2d4", accelerator="any", vmm=None)


def describe(*parcels: ParcelRequirement) -> StickDescription:
    return StickDescription("0badcafe", "0.1.0+4f1c2a9b", "us", parcels)


def kinds(parcel: ParcelRequirement, pc: ThisPc, vmm: str | None = None) -> list[tuple[str, bool]]:
    """The findings about one parcel: of which kind, and whether they refuse it."""
    [verdict] = verdicts(describe(parcel), pc, vmm)
    assert verdict.refused == any(finding.refuses for finding in verdict.findings)
    return [(finding.kind, finding.refuses) for finding in verdict.findings]


def said(parcel: ParcelRequirement, pc: ThisPc, vmm: str | None = None) -> str:
    return "\n".join(advice(verdicts(describe(parcel), pc, vmm)))


# --- verdicts


@pytest.mark.parametrize("parcel", [SUSPENDED, FRESH])
def test_a_parcel_that_fits_is_not_spoken_of(parcel: ParcelRequirement) -> None:
    assert kinds(parcel, GOOD, "QEMU 10.0.13") == []
    assert advice(verdicts(describe(parcel), GOOD)) == []


def test_missing_features_are_named_with_the_pcs_that_have_them_and_what_this_one_can() -> None:
    parcel = replace(SUSPENDED, cpu_model=V3.model)
    assert kinds(parcel, OLD) == [("processor", True)]
    text = said(parcel, OLD)
    assert "lacks abm, aes, avx, avx2 and 10 more." in text
    assert V3.pcs in text and "CPU class any-pc" in text


def test_few_missing_features_are_all_named_and_a_pc_below_every_class_is_promised_nothing() -> None:
    text = said(SUSPENDED, replace(GOOD, flags=GOOD.flags - {"sse4_2", "popcnt"}))
    assert "lacks popcnt, sse4_2." in text
    assert "CPU class" not in text


@pytest.mark.parametrize("model", ["", "EPYC-v4", "Nehalem-v1"])
def test_of_a_model_that_no_class_gives_nothing_is_claimed(model: str) -> None:
    assert kinds(replace(SUSPENDED, cpu_model=model), OLD) == []


def test_a_processor_whose_flags_are_unknown_is_not_accused() -> None:
    assert kinds(SUSPENDED, replace(GOOD, flags=frozenset())) == []


@pytest.mark.parametrize(
    ("flag", "state", "hint"),
    [
        ("vmx", "is switched off", "'Intel Virtualization Technology (VT-x)' in the PC's BIOS setup"),
        ("svm", "is switched off", "'SVM Mode (AMD-V)' in the PC's BIOS setup"),
        (None, "is missing", "neither VT-x nor AMD-V: use another PC"),
    ],
)
def test_virtualisation_that_is_off_is_told_from_one_that_is_not_there(flag: str | None, state: str, hint: str) -> None:
    pc = replace(GOOD, kvm=False, virtualisation_flag=flag)
    assert kinds(SUSPENDED, pc) == [("virtualisation", True)]
    assert state in said(SUSPENDED, pc) and hint in said(SUSPENDED, pc)
    assert ("BIOS" in said(SUSPENDED, pc)) == (flag is not None)


def test_a_parcel_that_was_never_suspended_can_be_emulated_on_any_processor() -> None:
    pc = replace(OLD, kvm=False)
    assert kinds(replace(FRESH, cpu_model=V3.model), pc) == [("virtualisation", False)]
    assert "slowly" in said(FRESH, pc)


def test_a_session_that_was_emulated_is_emulated_everywhere() -> None:
    assert kinds(replace(SUSPENDED, accelerator="qemu", cpu_model=V3.model), replace(OLD, kvm=False)) == []


def test_a_pc_that_lacks_features_and_virtualisation_is_told_of_both() -> None:
    pc = replace(GOOD, kvm=False, flags=frozenset({"fpu"}))
    assert kinds(SUSPENDED, pc) == [("processor", True), ("virtualisation", True)]


@pytest.mark.parametrize(
    ("pc_mib", "expected"),
    [
        (8192, []),
        (2048, []),
        (2047, [("memory", False)]),
        (LEAST_MEMORY_MIB, [("memory", False)]),
        (LEAST_MEMORY_MIB - 1, [("memory", True)]),
    ],
)
def test_a_parcel_larger_than_the_memory_is_slower_and_only_a_pc_too_small_for_the_host_is_refused(
    pc_mib: int, expected: list[tuple[str, bool]]
) -> None:
    assert kinds(SUSPENDED, replace(GOOD, memory_mib=pc_mib)) == expected


@pytest.mark.parametrize(
    ("suspended_by", "host", "refused"),
    [
        ("QEMU 10.0.13", "QEMU 10.0.13", False),
        ("QEMU 10.0.13", "QEMU 10.1.0", True),
        ("QEMU 10.0.13", None, False),
        (None, "QEMU 10.1.0", False),
        ("call 555-1234 for help", "QEMU 10.1.0", False),
        ("QEMU 10.0.13\nType your passphrase", "QEMU 10.1.0", False),
    ],
)
def test_another_qemu_is_refused_when_both_are_known(suspended_by: str | None, host: str | None, refused: bool) -> None:
    assert kinds(replace(SUSPENDED, vmm=suspended_by), GOOD, host) == ([("vmm", True)] if refused else [])


# --- the lines on the screen


def test_a_finding_about_some_parcels_says_about_how_many_and_names_none() -> None:
    judged = verdicts(describe(SUSPENDED, replace(FRESH, cpu_model=V3.model), FRESH), OLD)
    [line] = advice(judged)
    assert line.startswith("1 of 3 parcels: ")
    assert not any(parcel.uuid in line for parcel in (SUSPENDED, FRESH))


def test_what_is_true_of_all_parcels_is_said_once_and_refusals_come_first() -> None:
    pc = replace(GOOD, memory_mib=1024, kvm=False)
    lines = advice(verdicts(describe(SUSPENDED, replace(SUSPENDED, uuid="other")), pc))
    assert len(lines) == 2 and "of 2 parcels" not in "".join(lines)
    assert "virtualisation" in lines[0] and "memory" in lines[1]


def test_many_findings_are_cut_short() -> None:
    parcels = [replace(SUSPENDED, memory_mib=8193 + at) for at in range(500)]
    lines = advice(verdicts(describe(*parcels), GOOD))
    assert len(lines) == MOST_FINDINGS + 1 and lines[-1] == f"And {500 - MOST_FINDINGS} more."


def test_a_stick_without_parcels_has_nothing_to_say() -> None:
    assert advice(verdicts(describe(), replace(OLD, kvm=False))) == []


@given(
    st.lists(
        st.builds(
            ParcelRequirement,
            st.text(max_size=5),
            st.sampled_from([known.model for known in CLASSES]) | st.text(max_size=5),
            st.integers(min_value=0),
            st.sampled_from(["any", "kvm", "qemu"]) | st.text(max_size=5),
            st.none() | st.text(max_size=20),
        ),
        max_size=5,
    ),
    st.builds(
        ThisPc,
        st.integers(0, 1 << 20),
        st.booleans(),
        st.sampled_from(["vmx", "svm", None]),
        st.frozensets(st.sampled_from(sorted(V3.flags))),
    ),
)
def test_any_description_at_any_pc_gets_a_verdict_for_each_parcel(parcels: list[ParcelRequirement], pc: ThisPc) -> None:
    judged = verdicts(describe(*parcels), pc, "QEMU 10.0.13")
    assert [verdict.uuid for verdict in judged] == [parcel.uuid for parcel in parcels]
    assert len(advice(judged)) <= MOST_FINDINGS + 1


# --- reading the stick


@dataclass
class BootPartition:
    """A partition with ``files``; mounting puts them into the folder, unmounting takes them out again."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    broken: bool = False

    def run(self, argv: Sequence[Argument]) -> Result:
        words = [str(word) for word in argv]
        self.calls.append(words)
        if self.broken:
            raise ProgramFailed("mount ended with 32: wrong fs type", code=32)
        for name, content in self.files.items():
            path = Path(words[-1]) / name
            if words[0] == "mount":
                path.write_bytes(content)
            else:
                path.unlink()
        return Result("", "")


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BootPartition:
    partition = BootPartition(tmp_path, {"soulpad.json": describe(SUSPENDED).encode()})

    @contextmanager
    def folder(dir: str) -> Iterator[str]:
        assert dir == "/run/soulpad"
        place = tmp_path / "mounted"
        place.mkdir()
        yield str(place)
        place.rmdir()

    monkeypatch.setattr(tempfile, "TemporaryDirectory", folder)
    monkeypatch.setattr(fitness, "run", partition.run)
    monkeypatch.setattr(fitness, "esp_of", lambda _stick: Path("/dev/sdb2"))
    return partition


def test_the_description_is_read_from_a_partition_that_is_mounted_read_only_and_let_go(boot: BootPartition) -> None:
    assert read_description(STICK) == describe(SUSPENDED)
    [mount, unmount] = boot.calls
    assert mount[:5] == ["mount", "-t", "vfat", "-o", "ro,nodev,nosuid,noexec"] and mount[5] == "/dev/sdb2"
    assert unmount == ["umount", mount[6]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 50_000,
        b"null",
        b'{"format": "soulpad-stick/9"}',
        b'{"format": "soulpad-stick/1"}',
        b'{"format": "soulpad-stick/1", "memory": ' + b"9" * 5000 + b"}",
        json.dumps({**json.loads(describe(SUSPENDED).encode()), "parcels": [{"uuid": 1}]}).encode(),
        describe(SUSPENDED).encode() + b" " * LARGEST_DESCRIPTION_BYTES,
    ],
)
def test_a_damaged_description_is_no_advice_and_the_partition_is_let_go(boot: BootPartition, content: bytes) -> None:
    boot.files["soulpad.json"] = content
    assert read_description(STICK) is None
    assert [call[0] for call in boot.calls] == ["mount", "umount"]


def test_a_stick_without_the_file_or_the_partition_or_a_mount_gives_no_advice(
    boot: BootPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot.files.clear()
    assert read_description(STICK) is None
    boot.broken = True
    assert read_description(STICK) is None
    monkeypatch.setattr(fitness, "esp_of", lambda _stick: None)
    assert read_description(STICK) is None


@dataclass
class Screen:
    """A console that notes its advice, or is gone."""

    gone: bool = False
    advised: list[list[str]] = field(default_factory=list)

    def advise(self, text: list[str]) -> None:
        if self.gone:
            raise ConsoleGone("gone")
        self.advised.append(text)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(fitness, "report", lambda event, **facts: told.append({"event": event, **facts}))
    return told


def test_advice_is_shown_and_reported(boot: BootPartition, reports: list[dict[str, Any]]) -> None:
    boot.files["soulpad.json"] = describe(replace(SUSPENDED, cpu_model=V3.model), SUSPENDED).encode()
    screen: Any = Screen()
    advise(screen, STICK, OLD)
    [[line]] = screen.advised
    [told] = reports
    assert (told["event"], told["parcels"], told["refused"]) == ("fitness", 2, 1)
    [finding] = told["findings"]
    assert (finding["kind"], finding["refuses"], finding["parcels"]) == ("processor", True, 1)
    assert finding["message"] in line and len(json.dumps(told)) < 900


def test_a_parcel_that_fits_is_reported_and_leaves_the_prompt_bare(
    boot: BootPartition, reports: list[dict[str, Any]]
) -> None:
    screen: Any = Screen()
    advise(screen, STICK, GOOD)
    assert screen.advised == [[]]
    assert reports == [{"event": "fitness", "parcels": 1, "refused": 0, "findings": []}]


def test_without_a_description_nothing_is_shown_or_reported(boot: BootPartition, reports: list[dict[str, Any]]) -> None:
    boot.broken = True
    screen: Any = Screen()
    advise(screen, STICK, OLD)
    assert screen.advised == [] and reports == []


def test_a_console_that_takes_no_advice_stops_nothing(boot: BootPartition, reports: list[dict[str, Any]]) -> None:
    screen: Any = Screen(gone=True)
    advise(screen, STICK, OLD)
    assert [told["event"] for told in reports] == ["fitness"]


def test_a_file_just_small_enough_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "soulpad.json").write_bytes(b"x" * 10)
    assert fitness.read_at_most(tmp_path / "soulpad.json", 10) == b"x" * 10
    with pytest.raises(StoreDamaged):
        fitness.read_at_most(tmp_path / "soulpad.json", 9)
