"""The QEMU command line of an emulated PC: decided here, from values alone.

For QEMU 7.2 (Debian 12) to 10 (Debian 13). Unless asked otherwise the PC is emulated throughout (TCG), with AMD's
virtualisation nested inside: the stick's host finds a working ``/dev/kvm`` and uses it as on a real PC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from builder.pc.profile import DiskBus, Display, Firmware, Nic, PcProfile, Usb
from soulpad.base.units import SECTOR_BYTES

OVMF = Path("/usr/share/OVMF")
STICK = "stick"
INTERNAL = "internal"


class Accelerator(StrEnum):
    """What executes the PC's instructions."""

    TCG = "tcg"
    KVM = "kvm"


class Window(StrEnum):
    """Whether a person sees the PC's screen, and by which of QEMU's front ends."""

    NONE = "none"
    GTK = "gtk"
    SDL = "sdl"


@dataclass(frozen=True)
class Throttle:
    """How fast a slow USB disk is, in bytes per second; 0 is not throttled."""

    read_bytes_per_second: int = 0
    write_bytes_per_second: int = 0


@dataclass(frozen=True)
class UsbDisk:
    """A USB disk to plug in: a file (or block device) and how it is attached.

    ``durable``: whether the PC's flushes reach this machine's disk; without, tests are faster.
    ``logical_block_bytes``: 512, or 4096 for a stick that shows its true sectors.
    ``write_cache``: whether the disk says that it has one, which a loss of power empties.
    """

    path: Path
    image_format: str = "raw"
    logical_block_bytes: int = SECTOR_BYTES
    durable: bool = True
    throttle: Throttle = Throttle()
    write_cache: bool = True


@dataclass(frozen=True)
class MachineFiles:
    """Everything of a PC that is a file. ``firmware_variables``: a private copy; None with a BIOS.

    ``serial_logs`` and ``serial_sockets``: the first port is the host's log, the second what a guest reports.
    Socket paths must be short (108 bytes).
    """

    stick: UsbDisk
    qmp_socket: Path
    serial_logs: tuple[Path, ...]
    serial_sockets: tuple[Path, ...]
    firmware_variables: Path | None = None
    internal_disk: Path | None = None
    more_usb_disks: tuple[UsbDisk, ...] = ()


@dataclass(frozen=True)
class MachineOptions:
    """What is not the PC's but the occasion's. ``isolated``: the network card reaches nothing outside. ``clock``: what
    the PC's clock shows at power on (UTC); None: the time."""

    accelerator: Accelerator = Accelerator.TCG
    window: Window = Window.NONE
    isolated: bool = False
    clock: datetime | None = None


def qemu_arguments(profile: PcProfile, files: MachineFiles, options: MachineOptions) -> list[str]:
    """All that QEMU is told of one PC. The PC stays, paused, when it has switched itself off: so its last
    screen and its disks' statistics can still be asked for."""
    return [
        *("-name", profile.name, "-nodefaults", "-no-user-config"),
        *("-action", "shutdown=pause", "-boot", "menu=off,strict=on"),
        *("-smp", str(profile.cpus), "-m", f"{profile.memory_mib}M"),
        *_processor(profile, options.accelerator),
        *_clock(options.clock),
        *_firmware(profile.firmware, files.firmware_variables),
        *("-display", options.window, *_display(profile.display)),
        *_usb(profile),
        *_usb_disk(files.stick, STICK, bootable=True),
        *(word for n, disk in enumerate(files.more_usb_disks, 1) for word in _usb_disk(disk, f"usb{n}")),
        *_internal_disk(profile, files.internal_disk),
        *_network(profile.nic, options.isolated),
        *_serial_ports(files),
        *("-device", "virtio-rng-pci"),
        *("-chardev", f"socket,id=qmp,path={escaped(files.qmp_socket)},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
    ]


def escaped(value: str | os.PathLike[str]) -> str:
    """A value within one of QEMU's comma-separated options (QEMU's manual: a comma is doubled)."""
    return os.fspath(value).replace(",", ",,")


def usb_disk_id(name: str) -> str:
    """What QEMU calls the USB disk ``name``: ``STICK``, or ``usb1`` for the first of ``more_usb_disks``."""
    return f"{name}-disk"


def hot_plug_device(disk: UsbDisk, name: str) -> dict[str, str | int | bool]:
    """The arguments of QMP's device_add that plug in the disk behind the block node ``name``."""
    return {"driver": "usb-storage", **_usb_storage(disk, name)}


def firmware_variables_template(firmware: Firmware) -> Path | None:
    """The UEFI variables that a new PC is delivered with; None with a BIOS."""
    names = {Firmware.UEFI: "OVMF_VARS_4M.fd", Firmware.SECURE_BOOT: "OVMF_VARS_4M.ms.fd"}
    return OVMF / names[firmware] if firmware in names else None


def _processor(profile: PcProfile, accelerator: Accelerator) -> Sequence[str]:
    if accelerator is Accelerator.TCG:
        return ("-accel", "tcg,thread=multi", "-cpu", profile.cpu)
    # nested virtualisation is the real CPU's, so the model must be as well
    return ("-accel", "kvm", "-cpu", "host" if profile.virtualisation else "host,-svm,-vmx")


def _clock(clock: datetime | None) -> Sequence[str]:
    return () if clock is None else ("-rtc", f"base={clock:%Y-%m-%dT%H:%M:%S}")


def _firmware(firmware: Firmware, variables: Path | None) -> Iterator[str]:
    secure = firmware is Firmware.SECURE_BOOT
    yield from ("-machine", "q35,smm=on" if secure else "q35")
    if firmware is Firmware.BIOS:
        return
    if variables is None:
        raise ValueError("a PC with UEFI needs a file for its variables")
    code = OVMF / ("OVMF_CODE_4M.secboot.fd" if secure else "OVMF_CODE_4M.fd")
    yield from ("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}")
    yield from ("-drive", f"if=pflash,unit=1,format=raw,file={escaped(variables)}")
    if secure:  # the variables may only be written from system management mode
        yield from ("-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")


def _display(display: Display) -> Sequence[str]:
    device = "VGA" if display is Display.STD_VGA else display.value
    return ("-device", device)


def _usb(profile: PcProfile) -> Iterator[str]:
    yield from ("-device", "usb-ehci,id=usb" if profile.usb is Usb.EHCI else "qemu-xhci,id=usb,p2=8,p3=8")
    if profile.usb is not Usb.EHCI:  # an old PC has q35's PS/2 keyboard
        yield from ("-device", "usb-kbd,bus=usb.0")
    yield from ("-device", "usb-tablet,bus=usb.0")


def _usb_disk(disk: UsbDisk, name: str, bootable: bool = False) -> Iterator[str]:
    limits = {
        "throttling.bps-read": disk.throttle.read_bytes_per_second,
        "throttling.bps-write": disk.throttle.write_bytes_per_second,
    }
    yield "-drive"
    yield (
        f"if=none,id={name},format={disk.image_format},file={escaped(disk.path)}"
        f",cache={'writeback' if disk.durable else 'unsafe'}"
        + "".join(f",{limit}={value}" for limit, value in limits.items() if value)
    )
    yield "-device"
    device = {**_usb_storage(disk, name), **({"bootindex": 0} if bootable else {})}
    yield ",".join(["usb-storage", *(f"{key}={_spelt(value)}" for key, value in device.items())])


def _usb_storage(disk: UsbDisk, name: str) -> dict[str, str | int | bool]:
    return {
        "id": usb_disk_id(name),
        "bus": "usb.0",
        "drive": name,
        "removable": True,
        "serial": f"SOULPAD-{name.upper()}",
        "logical_block_size": disk.logical_block_bytes,
        "physical_block_size": disk.logical_block_bytes,
        "write-cache": "on" if disk.write_cache else "off",
    }


def _spelt(value: str | int | bool) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _internal_disk(profile: PcProfile, image: Path | None) -> Iterator[str]:
    if image is None or profile.internal_disk is None:
        return
    yield from ("-drive", f"if=none,id={INTERNAL},format=raw,file={escaped(image)},cache=unsafe")
    sata = profile.internal_disk.bus is DiskBus.SATA
    device = "ide-hd,bus=ide.0" if sata else "nvme"
    yield from ("-device", f"{device},drive={INTERNAL},serial=PC-OWN-DISK")


def _network(nic: Nic, isolated: bool) -> Sequence[str]:
    if nic is Nic.NONE:
        return ()
    netdev = f"user,id=net,restrict={'on' if isolated else 'off'}"
    # no option ROM: this PC does not try to boot from the network, whatever happens
    return ("-netdev", netdev, "-device", f"{nic.value},netdev=net,romfile=")


def _serial_ports(files: MachineFiles) -> Iterator[str]:
    for n, (log, socket) in enumerate(zip(files.serial_logs, files.serial_sockets, strict=True)):
        yield "-chardev"
        yield f"socket,id=serial{n},path={escaped(socket)},server=on,wait=off,logfile={escaped(log)}"
        yield from ("-serial", f"chardev:serial{n}")
