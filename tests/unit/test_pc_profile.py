"""Profiles of emulated PCs: what is accepted, what is refused and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.pc.profile import (
    DiskBus,
    FileSystem,
    Firmware,
    InternalDisk,
    Nic,
    Usb,
    find_profile,
    known_profiles,
    parse_profile,
)
from soulpad.base.errors import BadInput
from soulpad.base.units import GIB

OLD = """
name = "old"
description = "an old PC"
firmware = "bios"
usb = "ehci"
cpu = "EPYC,+svm,+npt"
cpus = 2
memory_mib = 2048
display = "std-vga"
nic = "none"

[internal_disk]
bus = "sata"
size = "1GiB"
filesystem = "ext4"
"""


def test_profile_is_read_into_typed_fields() -> None:
    profile = parse_profile(OLD, "old.toml")
    assert (profile.firmware, profile.usb, profile.nic) == (Firmware.BIOS, Usb.EHCI, Nic.NONE)
    assert profile.internal_disk == InternalDisk(DiskBus.SATA, GIB, FileSystem.EXT4)


@pytest.mark.parametrize("hours", [25, -2, 0])
def test_pc_may_have_a_clock_that_is_wrong(hours: int) -> None:
    assert parse_profile(OLD, "old.toml").clock_ahead_hours == 0
    assert parse_profile(f"clock_ahead_hours = {hours}\n{OLD}", "old.toml").clock_ahead_hours == hours


def test_pc_may_have_no_internal_disk() -> None:
    assert parse_profile(OLD.split("[internal_disk]")[0], "old.toml").internal_disk is None


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        (
            'firmware = "bios"',
            'firmware = "coreboot"',
            "must be one of: bios, uefi, secure-boot",
        ),
        ('usb = "ehci"', "", "usb is missing"),
        ("cpus = 2", "cpus = true", "cpus must be of type int"),
        ("cpus = 2", "cpus = 0", "cpus must be at least 1"),
        ("memory_mib = 2048", 'memory_mib = "2048"', "memory_mib must be of type int"),
        ("cpus = 2", "cpus = 2\ncolour = 'beige'", "colour is not a field"),
        ('bus = "sata"', 'bus = "scsi"', "[internal_disk]: bus is 'scsi'"),
        ('bus = "sata"', 'bus = "sata"\nrpm = 5400', "[internal_disk]: rpm is not a field"),
        ('size = "1GiB"', 'size = "1MiB"', "size must be whole MiB, at least 128"),
        ('size = "1GiB"', 'size = "300MB"', "size must be whole MiB, at least 128"),
        ('size = "1GiB"', 'size = "big"', "'big' is not a size"),
        ("cpus = 2", "cpus =", "is not TOML"),
        ("cpus = 2", "cpus = 2\nclock_ahead_hours = 1.5", "clock_ahead_hours must be of type int"),
        ("cpus = 2", "cpus = 2\nclock_ahead_hours = -99999", "clock_ahead_hours must be at most"),
        ("[internal_disk]", "internal_disk = 1\n[[disks]]", "internal_disk must be a table"),
    ],
)
def test_mistake_in_a_profile_is_refused_and_named(line: str, instead: str, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_profile(OLD.replace(line, instead), "old.toml")
    assert complaint in refused.value.message


def test_file_must_be_called_as_its_pc(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text(OLD)
    with pytest.raises(BadInput, match="describes a PC called 'old'"):
        find_profile(str(path))


def test_profile_file_of_ones_own_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(OLD)
    assert find_profile(str(path)).name == "old"


@pytest.mark.parametrize("name", ["nothing", "../pcs/old-desktop", ""])
def test_unknown_pc_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        find_profile(name)
    assert "old-desktop" in refused.value.hint and "secure-laptop" in refused.value.hint


def test_shipped_pcs_cover_what_sticks_meet() -> None:
    profiles = known_profiles()
    assert {profile.firmware for profile in profiles} == set(Firmware)
    assert {profile.usb for profile in profiles} == set(Usb)
    assert {profile.virtualisation for profile in profiles} == {True, False}
    assert {disk.bus for profile in profiles if (disk := profile.internal_disk)} == set(DiskBus)
    assert {disk.filesystem for profile in profiles if (disk := profile.internal_disk)} == set(FileSystem)
    assert Nic.NONE in {profile.nic for profile in profiles}


def test_the_two_pcs_of_a_walk_differ_in_everything_a_session_could_notice() -> None:
    desktop, laptop = find_profile("old-desktop"), find_profile("secure-laptop")
    for field in ("firmware", "usb", "cpu", "memory_mib", "display", "nic", "internal_disk", "clock_ahead_hours"):
        assert getattr(desktop, field) != getattr(laptop, field), field
