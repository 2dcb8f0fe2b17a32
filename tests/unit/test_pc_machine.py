"""The command line of an emulated PC."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builder.pc.machine import (
    Accelerator,
    MachineFiles,
    MachineOptions,
    Throttle,
    UsbDisk,
    Window,
    escaped,
    firmware_variables_template,
    hot_plug_device,
    qemu_arguments,
)
from builder.pc.profile import Display, Firmware, PcProfile, find_profile, known_profiles
from builder.pc.running import with_clock

FILES = MachineFiles(
    stick=UsbDisk(Path("/tmp/stick.img")),
    qmp_socket=Path("/tmp/s/qmp"),
    serial_logs=(Path("/tmp/pc/serial0.log"), Path("/tmp/pc/serial1.log")),
    serial_sockets=(Path("/tmp/s/serial0"), Path("/tmp/s/serial1")),
    firmware_variables=Path("/tmp/pc/firmware-variables.fd"),
    internal_disk=Path("/tmp/pc/internal-disk.img"),
)
OLD = find_profile("old-desktop")
LAPTOP = find_profile("secure-laptop")


def values(argv: list[str], option: str) -> list[str]:
    """All values given for an option."""
    return [value for name, value in itertools.pairwise(argv) if name == option]


def value(argv: list[str], option: str, start: str) -> str:
    """The one value of an option that starts so."""
    (found,) = [each for each in values(argv, option) if each.startswith(start)]
    return found


def argv_of(profile: PcProfile, files: MachineFiles = FILES, **options: object) -> list[str]:
    return qemu_arguments(profile, files, MachineOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", known_profiles(), ids=lambda profile: profile.name)
def test_stick_is_what_the_pc_starts_from_and_is_written_for_real(profile: PcProfile) -> None:
    argv = argv_of(profile)
    assert "bootindex=0" in value(argv, "-device", "usb-storage,id=stick-disk")
    assert sum("bootindex" in word for word in argv) == 1
    assert not any("snapshot" in word for word in argv)
    assert value(argv, "-drive", "if=none,id=stick").endswith(",cache=writeback")


@pytest.mark.parametrize("profile", known_profiles(), ids=lambda profile: profile.name)
def test_nothing_is_emulated_by_kvm_unless_asked_for(profile: PcProfile) -> None:
    argv = argv_of(profile)
    assert values(argv, "-accel") == ["tcg,thread=multi"]
    assert values(argv, "-cpu") == [profile.cpu]


def test_kvm_takes_the_cpu_of_this_machine() -> None:
    argv = argv_of(OLD, accelerator=Accelerator.KVM)
    assert (values(argv, "-accel"), values(argv, "-cpu")) == (["kvm"], ["host"])


def test_pc_without_virtualisation_has_none_under_kvm_either() -> None:
    argv = argv_of(find_profile("no-virtualisation"), accelerator=Accelerator.KVM)
    assert values(argv, "-cpu") == ["host,-svm,-vmx"]


def test_old_pc_has_the_ps2_keyboard_and_usb_2() -> None:
    devices = values(argv_of(OLD), "-device")
    assert "usb-ehci,id=usb" in devices
    assert not any(device.startswith(("usb-kbd", "qemu-xhci")) for device in devices)


def test_newer_pc_has_a_usb_keyboard_on_usb_3() -> None:
    devices = values(argv_of(LAPTOP), "-device")
    assert any(device.startswith("qemu-xhci,id=usb") for device in devices)
    assert "usb-kbd,bus=usb.0" in devices


def test_secure_boot_guards_the_firmware_variables() -> None:
    argv = argv_of(LAPTOP)
    assert values(argv, "-machine") == ["q35,smm=on"]
    assert "driver=cfi.pflash01,property=secure,value=on" in values(argv, "-global")
    assert "readonly=on" in value(argv, "-drive", "if=pflash,unit=0")
    assert "OVMF_CODE_4M.secboot.fd" in value(argv, "-drive", "if=pflash,unit=0")
    assert "readonly" not in value(argv, "-drive", "if=pflash,unit=1")


def test_each_firmware_gets_its_own_variables() -> None:
    templates = [firmware_variables_template(firmware) for firmware in Firmware]
    assert [template.name if template else None for template in templates] == [
        None,
        "OVMF_VARS_4M.fd",
        "OVMF_VARS_4M.ms.fd",
    ]


def test_bios_pc_has_no_flash() -> None:
    assert not any("pflash" in drive for drive in values(argv_of(OLD), "-drive"))


def test_uefi_without_variables_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="variables"):
        argv_of(LAPTOP, replace(FILES, firmware_variables=None))


@pytest.mark.parametrize("display", Display)
def test_graphics_card_is_the_profiles(display: Display) -> None:
    card = values(argv_of(replace(OLD, display=display)), "-device")[0]
    assert card == ("VGA" if display is Display.STD_VGA else display)


def test_internal_disk_hangs_on_the_profiles_bus() -> None:
    assert value(argv_of(OLD), "-device", "ide-hd").startswith("ide-hd,bus=ide.0,drive=internal")
    assert value(argv_of(LAPTOP), "-device", "nvme").startswith("nvme,drive=internal")
    assert not any("internal" in word for word in argv_of(find_profile("old-cpu")))


def test_pc_without_network_card_has_no_network() -> None:
    argv = argv_of(find_profile("netbook"))
    assert not values(argv, "-netdev")


@pytest.mark.parametrize(("isolated", "restrict"), [(True, "restrict=on"), (False, "restrict=off")])
def test_network_card_is_on_a_network_of_its_own(isolated: bool, restrict: str) -> None:
    argv = argv_of(OLD, isolated=isolated)
    assert values(argv, "-netdev") == [f"user,id=net,{restrict}"]
    assert value(argv, "-device", "e1000") == "e1000,netdev=net,romfile="


def test_serial_ports_are_logged_in_order() -> None:
    argv = argv_of(OLD)
    assert values(argv, "-serial") == ["chardev:serial0", "chardev:serial1"]
    assert "logfile=/tmp/pc/serial1.log" in value(argv, "-chardev", "socket,id=serial1")


def test_window_opens_only_when_asked_for() -> None:
    assert values(argv_of(OLD), "-display") == ["none"]
    assert values(argv_of(OLD, window=Window.GTK), "-display") == ["gtk"]


def test_slow_stick_is_throttled_both_ways() -> None:
    stick = replace(FILES.stick, throttle=Throttle(30_000_000, 10_000_000), durable=False)
    drive = value(argv_of(OLD, replace(FILES, stick=stick)), "-drive", "if=none,id=stick")
    assert drive.endswith("cache=unsafe,throttling.bps-read=30000000,throttling.bps-write=10000000")


def test_second_stick_is_plugged_in_beside_the_first() -> None:
    key = UsbDisk(Path("/tmp/key.img"), logical_block_bytes=4096)
    argv = argv_of(OLD, replace(FILES, more_usb_disks=(key,)))
    assert value(argv, "-drive", "if=none,id=usb1").startswith("if=none,id=usb1,format=raw,file=/tmp/key.img")
    assert "logical_block_size=4096" in value(argv, "-device", "usb-storage,id=usb1-disk")


def test_comma_in_a_file_name_stays_in_the_name() -> None:
    assert escaped(Path("/tmp/a,b")) == "/tmp/a,,b"
    argv = argv_of(OLD, replace(FILES, stick=UsbDisk(Path("/tmp/a,snapshot=on"))))
    assert "file=/tmp/a,,snapshot=on," in value(argv, "-drive", "if=none,id=stick")


def test_hot_plugged_disk_is_the_same_device_as_one_plugged_in_before() -> None:
    disk = UsbDisk(Path("/tmp/key.img"))
    cold = value(argv_of(OLD, replace(FILES, more_usb_disks=(disk,))), "-device", "usb-storage,id=usb1-disk")
    hot = hot_plug_device(disk, "usb1")
    assert {part.split("=")[0] for part in cold.split(",")[1:]} == hot.keys() - {"driver"}


def test_clock_of_the_pc_is_right_unless_it_is_told_the_time() -> None:
    assert not values(argv_of(OLD), "-rtc")
    assert values(argv_of(OLD, clock=datetime(2031, 2, 3, 4, 5, 6, 7, tzinfo=UTC)), "-rtc") == [
        "base=2031-02-03T04:05:06"
    ]


def test_clock_of_a_profile_that_is_ahead_shows_so_much_more_than_the_time() -> None:
    ahead = with_clock(MachineOptions(isolated=True), replace(OLD, clock_ahead_hours=25))
    assert ahead.isolated and ahead.clock is not None
    assert timedelta(hours=24) < ahead.clock - datetime.now(UTC) <= timedelta(hours=25)
    behind = with_clock(MachineOptions(), replace(OLD, clock_ahead_hours=-1))
    assert behind.clock is not None and behind.clock < datetime.now(UTC)


def test_clock_that_was_asked_for_goes_before_the_profiles() -> None:
    moment = datetime(2031, 2, 3, tzinfo=UTC)
    assert with_clock(MachineOptions(clock=moment), replace(OLD, clock_ahead_hours=25)).clock == moment
    assert with_clock(MachineOptions(), OLD) == MachineOptions()
