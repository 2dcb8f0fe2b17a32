"""The folder of an emulated PC: its own disk, its firmware's variables, its logs and screenshots.

internal-disk.img         made when first needed, then the PC's for good
firmware-variables.fd     the same, on a PC with UEFI
serial0.log serial1.log   of the latest start: the host's log, what the guest reports
qemu.log                  what QEMU itself complained about
failure-N.png             the screen N seconds after power on, when something was waited for in vain
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.pc.internal_disk import make_internal_disk
from builder.pc.machine import MachineFiles, UsbDisk, firmware_variables_template
from builder.pc.profile import PcProfile
from soulpad.base.errors import MissingProgram

SERIAL_PORTS = 2


@dataclass(frozen=True)
class Room:
    """The paths in a PC's folder."""

    folder: Path

    @property
    def internal_disk(self) -> Path:
        return self.folder / "internal-disk.img"

    @property
    def firmware_variables(self) -> Path:
        return self.folder / "firmware-variables.fd"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "qemu.log"

    def serial_log(self, port: int) -> Path:
        return self.folder / f"serial{port}.log"

    def failure(self, seconds: float) -> Path:
        return self.folder / f"failure-{seconds:.0f}.png"


def furnish(
    room: Room, profile: PcProfile, stick: UsbDisk, more_usb_disks: Iterable[UsbDisk], sockets: Path
) -> MachineFiles:
    """Makes what a PC lacks, and says where everything is. ``sockets``: a folder with a short path.

    Raises MissingProgram (also for the UEFI firmware), ProgramFailed, NoSpace.
    """
    room.folder.mkdir(parents=True, exist_ok=True)
    if profile.internal_disk and not room.internal_disk.exists():
        make_internal_disk(profile.internal_disk, room.internal_disk)
    template = firmware_variables_template(profile.firmware)
    if template and not room.firmware_variables.exists():
        _copy_firmware_variables(template, room.firmware_variables)
    return MachineFiles(
        stick=stick,
        more_usb_disks=tuple(more_usb_disks),
        internal_disk=room.internal_disk if profile.internal_disk else None,
        firmware_variables=room.firmware_variables if template else None,
        qmp_socket=sockets / "qmp",
        serial_logs=tuple(room.serial_log(port) for port in range(SERIAL_PORTS)),
        serial_sockets=tuple(sockets / f"serial{port}" for port in range(SERIAL_PORTS)),
    )


def _copy_firmware_variables(template: Path, path: Path) -> None:
    staged = path.with_name(f".{path.name}.partial")
    try:
        shutil.copyfile(template, staged)
    except FileNotFoundError:
        raise MissingProgram(f"the UEFI firmware {template} is not installed", "install the package ovmf") from None
    staged.replace(path)
