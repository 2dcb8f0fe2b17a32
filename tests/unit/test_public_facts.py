"""soulpad.json after a session: what it says of the parcels, when it is written, and that no failure of it counts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import ProgramFailed
from soulpad.session import publicfacts
from soulpad.session.parcels import Parcel
from soulpad.session.publicfacts import described, keep_true, replace_on_fat
from soulpad.session.thispc import Stick
from soulpad.store.checkpoint import MANIFEST_NAME
from soulpad.store.layout import ParcelPaths
from soulpad.store.stick import ParcelRequirement, StickDescription
from tests.unit.parcel_store import MACHINE, OLD, UUID, make_parcel, manifest_of

STICK = Stick(Path("/dev/sdb"), Path("/dev/sdb5"), "0badcafe")
MADE = ParcelRequirement(UUID, MACHINE.cpu_model, MACHINE.memory_mib, "any")
SUSPENDED = replace(MADE, accelerator="kvm", vmm="QEMU 10.0.13")
OTHER_UUID = "00000000-aaaa-4b8e-9a57-0d4f1b1c7e90"


def describe(*parcels: ParcelRequirement) -> StickDescription:
    return StickDescription("0badcafe", "0.1.0+4f1c2a9b", "us", parcels)


@dataclass
class Esp:
    """The boot partition as a folder, with what was mounted for writing and what was reported."""

    folder: Path
    mounted: int = 0
    failure: Exception | None = None
    reports: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "soulpad.json"

    def read(self, _stick: Stick) -> StickDescription | None:
        return StickDescription.decode(self.path.read_bytes()) if self.path.exists() else None

    @contextmanager
    def writable(self, _stick: Stick) -> Iterator[Path]:
        if self.failure:
            raise self.failure
        self.mounted += 1
        yield self.folder


@pytest.fixture
def esp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Esp:
    made = Esp(tmp_path / "esp")
    made.folder.mkdir()
    made.path.write_bytes(describe(MADE).encode())
    monkeypatch.setattr(publicfacts, "read_description", made.read)
    monkeypatch.setattr(publicfacts, "writable_esp", made.writable)
    monkeypatch.setattr(publicfacts, "report", lambda event, **facts: made.reports.append((event, facts)))
    return made


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    return make_parcel(tmp_path / "store")


def make_current(parcel: Parcel, accelerator: str | None, vmm: str = "QEMU 10.0.13") -> None:
    """The current checkpoint was suspended with ``accelerator``; None: it is of disks alone."""
    manifest = manifest_of(OLD)
    assert manifest.suspended
    state = replace(manifest.suspended, accelerator=accelerator, vmm=vmm) if accelerator else None
    path = parcel.paths.checkpoint(OLD) / MANIFEST_NAME
    path.write_bytes(replace(manifest, suspended=state).encode())


# --- what is said


@pytest.mark.parametrize(
    ("accelerator", "vmm", "said"),
    [
        ("kvm", "QEMU 10.0.13", ("kvm", "QEMU 10.0.13")),
        ("qemu", "QEMU 10.2.0", ("qemu", "QEMU 10.2.0")),
        (None, "", ("any", None)),
    ],
)
def test_what_suspended_the_parcel_last_is_what_a_pc_must_have(
    parcel: Parcel, accelerator: str | None, vmm: str, said: tuple[str, str | None]
) -> None:
    make_current(parcel, accelerator, vmm)
    [requirement] = described(describe(SUSPENDED), [parcel]).parcels
    assert (requirement.accelerator, requirement.vmm) == said


def test_a_parcel_that_does_not_say_which_checkpoint_is_current_stays_as_it_was_described(parcel: Parcel) -> None:
    parcel.paths.current.write_text("")
    known = replace(SUSPENDED, vmm="QEMU 9.2.0")
    assert described(describe(known), [parcel]).parcels == (known,)
    assert described(describe(), [parcel]).parcels == (MADE,)


def test_a_second_parcel_comes_last_and_one_that_is_gone_is_left_out(parcel: Parcel) -> None:
    paths = ParcelPaths(parcel.paths.root, OTHER_UUID)
    second = Parcel(paths, replace(parcel.description, name="a name before the other's", uuid=OTHER_UUID))
    gone = replace(MADE, uuid="ffffffff-52d7-4b8e-9a57-0d4f1b1c7e90")
    assert [item.uuid for item in described(describe(gone, MADE), [second, parcel]).parcels] == [UUID, OTHER_UUID]


def test_of_the_stick_itself_nothing_changes_and_no_name_is_told(parcel: Parcel) -> None:
    known = describe(MADE)
    true = described(known, [parcel])
    assert replace(true, parcels=()) == replace(known, parcels=())
    assert parcel.description.name not in true.encode().decode()


# --- when it is written


def test_a_session_that_made_a_parcel_need_virtualisation_says_so_from_then_on(esp: Esp, parcel: Parcel) -> None:
    keep_true(STICK, parcel.paths.root)
    assert esp.read(STICK) == describe(SUSPENDED)
    assert esp.reports == [("public-facts-updated", {"parcels": 1})]
    assert [path.name for path in esp.folder.iterdir()] == ["soulpad.json"]


def test_where_nothing_changed_the_boot_partition_is_not_written(esp: Esp, parcel: Parcel) -> None:
    esp.path.write_bytes(describe(SUSPENDED).encode())
    keep_true(STICK, parcel.paths.root)
    assert esp.mounted == 0 and esp.reports == []


def test_a_description_that_is_missing_is_not_invented(esp: Esp, parcel: Parcel) -> None:
    esp.path.unlink()
    keep_true(STICK, parcel.paths.root)
    assert esp.mounted == 0 and not esp.path.exists()


@pytest.mark.parametrize(
    "failure", [ProgramFailed("mount ended with 32", code=32), OSError(30, "EROFS"), KeyError("?")]
)
def test_a_partition_that_cannot_be_written_is_reported_and_fails_nothing(
    esp: Esp, parcel: Parcel, failure: Exception
) -> None:
    esp.failure = failure
    keep_true(STICK, parcel.paths.root)
    assert [event for event, _ in esp.reports] == ["public-facts-stale"]
    assert esp.read(STICK) == describe(MADE)


def test_a_store_without_a_parcel_leaves_the_description_as_it_is(esp: Esp, tmp_path: Path) -> None:
    keep_true(STICK, tmp_path / "empty")
    assert esp.read(STICK) == describe(MADE) and [event for event, _ in esp.reports] == ["public-facts-stale"]


def test_the_boot_partition_is_let_go_whatever_happens_while_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    temporary = tempfile.TemporaryDirectory
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda dir: temporary(dir=tmp_path))
    monkeypatch.setattr(publicfacts, "run", lambda argv: calls.append([str(word) for word in argv]))
    monkeypatch.setattr(publicfacts, "esp_of", lambda _stick: Path("/dev/sdb2"))
    with pytest.raises(OSError), publicfacts.writable_esp(STICK):
        raise OSError(28, "ENOSPC")
    [mount, unmount] = calls
    assert mount[:4] == ["mount", "-t", "vfat", "-o"] and mount[5] == "/dev/sdb2"
    assert {"rw", "sync", "nosuid", "noexec"} <= set(mount[4].split(","))
    assert unmount == ["umount", mount[6]] and not Path(mount[6]).exists()


def test_a_name_that_a_power_cut_left_is_neither_used_nor_removed(tmp_path: Path) -> None:
    path, stray = tmp_path / "soulpad.json", tmp_path / "soulpad.json.0a1b2c3d"
    path.write_bytes(b"old")
    stray.write_bytes(b"shares its blocks")
    replace_on_fat(path, b"new")
    assert path.read_bytes() == b"new" and stray.read_bytes() == b"shares its blocks"
    assert len(list(tmp_path.iterdir())) == 2
