"""What this PC is, from the texts and folders that its kernel shows."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from soulpad.base.errors import MissingProgram, ProgramFailed, StoreDamaged
from soulpad.base.run import Argument, Result
from soulpad.session import processor, thispc
from soulpad.session.thispc import (
    Stick,
    ThisPc,
    TooLittleMemory,
    esp_of,
    load_kvm,
    memory_mib,
    require_memory,
    store_of,
    this_pc,
    this_stick,
    vt_hint,
)

MEMINFO = "MemTotal:        2014896 kB\nMemFree:          100000 kB\nSwapTotal:             0 kB\n"


def add_disk(sysfs: Path, name: str, partitions: dict[str, str], bus: str = "usb1") -> None:
    """A disk as in /sys: the real folders below devices/, links to them in ``sysfs``."""
    disk = sysfs.parent / "devices" / bus / "block" / name
    for number, (partition, label) in enumerate(partitions.items(), 1):
        (disk / partition).mkdir(parents=True)
        (disk / partition / "partition").write_text(f"{number}\n")
        named = f"PARTNAME={label}\n" if label else ""
        (disk / partition / "uevent").write_text(f"DEVTYPE=partition\n{named}PARTN={number}\n")
        (sysfs / partition).symlink_to(disk / partition)
    (disk / "queue").mkdir(parents=True, exist_ok=True)
    (disk / "uevent").write_text("DEVTYPE=disk\n")
    (sysfs / name).symlink_to(disk)


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "host-device").write_text("sdb3\n")
    monkeypatch.setattr(thispc, "HOST_DEVICE", tmp_path / "host-device")
    folder = tmp_path / "class"
    folder.mkdir()
    return folder


STICK = {
    "sdb1": "soulpad-bios-0badcafe",
    "sdb2": "soulpad-esp-0badcafe",
    "sdb3": "soulpad-host-a-0badcafe",
    "sdb5": "soulpad-parcels-0badcafe",
}


def test_the_parcels_partition_is_found_beside_the_hosts_own(sysfs: Path) -> None:
    add_disk(sysfs, "sda", {"sda1": "soulpad-parcels-0badcafe"})  # a copy of the stick is in the PC as well
    add_disk(sysfs, "sdb", STICK)
    assert this_stick(sysfs) == Stick(Path("/dev/sdb"), Path("/dev/sdb5"), "0badcafe")


def test_another_sticks_parcels_are_not_taken(sysfs: Path) -> None:
    add_disk(sysfs, "sda", {"sda1": "soulpad-parcels-0badcafe"})
    add_disk(sysfs, "sdb", STICK | {"sdb5": "soulpad-parcels-11111111"})
    with pytest.raises(StoreDamaged, match="no partition for parcels"):
        this_stick(sysfs)


def test_the_boot_partition_is_found_on_the_same_stick(sysfs: Path) -> None:
    add_disk(sysfs, "sda", {"sda1": "soulpad-esp-0badcafe"})
    add_disk(sysfs, "sdb", STICK)
    stick = this_stick(sysfs)
    assert esp_of(stick, sysfs) == Path("/dev/sdb2")


def test_a_stick_without_a_boot_partition_of_its_own_has_none(sysfs: Path) -> None:
    add_disk(sysfs, "sdb", STICK | {"sdb2": "soulpad-esp-11111111"})
    assert esp_of(this_stick(sysfs), sysfs) is None


def test_a_partition_without_a_name_is_passed_over(sysfs: Path) -> None:
    add_disk(sysfs, "sdb", {"sdb4": ""} | STICK)
    assert this_stick(sysfs).parcels == Path("/dev/sdb5")


def test_a_name_may_hold_equals_signs(tmp_path: Path) -> None:
    (tmp_path / "uevent").write_text("PARTN=1\nPARTNAME=a=b\n")
    assert thispc.partition_name_of(tmp_path) == "a=b"


def test_memory_is_the_total_in_mebibytes() -> None:
    assert memory_mib(MEMINFO) == 1967


def test_this_machine_is_a_pc_with_memory_and_a_processors_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_argv: object) -> Result:
        raise ProgramFailed("modprobe ended with 1")

    monkeypatch.setattr(thispc, "run", refused)
    monkeypatch.setattr(processor, "run", refused)
    pc = this_pc()
    assert pc.memory_mib > 0 and {"lm", "sse2"} <= pc.flags
    assert not pc.kvm


@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_a_switch_in_the_firmware_is_named_and_a_processor_without_one_is_not_sent_to_it(flag: str) -> None:
    assert "BIOS setup" in vt_hint(ThisPc(2048, False, flag))
    assert "BIOS" not in vt_hint(ThisPc(2048, False, None))


@pytest.mark.parametrize("mib", [0, 512, 899])
def test_a_pc_with_too_little_memory_is_told_so(mib: int) -> None:
    with pytest.raises(TooLittleMemory, match=f"{mib} MB") as refused:
        require_memory(ThisPc(mib, True, "vmx"))
    assert "Nothing on the stick was changed" in refused.value.hint


def test_a_pc_with_just_enough_memory_may_go_on() -> None:
    pc = ThisPc(thispc.LEAST_MEMORY_MIB, False, None)
    assert require_memory(pc) is pc


@pytest.mark.parametrize(("flag", "module"), [("vmx", "kvm_intel"), ("svm", "kvm_amd")])
def test_the_module_of_the_processors_maker_is_loaded(monkeypatch: pytest.MonkeyPatch, flag: str, module: str) -> None:
    asked: list[Sequence[Argument]] = []

    def modprobe(argv: Sequence[Argument]) -> Result:
        asked.append(argv)
        return Result("", "")

    monkeypatch.setattr(thispc, "run", modprobe)
    load_kvm(flag)
    assert asked == [["modprobe", module]]


def test_a_module_that_refuses_means_no_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_argv: object) -> Result:
        raise ProgramFailed("modprobe ended with 1", code=errno.EPERM)

    monkeypatch.setattr(thispc, "run", refused)
    assert load_kvm("vmx") is False


def test_a_processor_without_virtualisation_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_argv: object) -> Result:
        raise MissingProgram("modprobe must not be asked")

    monkeypatch.setattr(thispc, "run", never)
    assert load_kvm(None) is False


def test_the_store_is_opened_on_the_map_that_waits_for_the_stick(tmp_path: Path) -> None:
    stick = Stick(Path("/dev/sdb"), Path("/dev/sdb5"), "0badcafe")
    assert store_of(stick, tmp_path) == Path("/dev/sdb5")
    for name, map_name in (("dm-0", "stick-host"), ("dm-1", "stick-parcels"), ("dm-2", "soulpad-parcels")):
        (tmp_path / name / "dm").mkdir(parents=True)
        (tmp_path / name / "dm/name").write_text(f"{map_name}\n")
    assert store_of(stick, tmp_path) == Path("/dev/dm-1")
