"""What an emulated PC is made of: one TOML file per PC in ``images/pcs``, parsed once into a frozen profile.

name = "old-desktop"            # as the file is called
description = "..."             # one line, for people
firmware = "bios"               # bios | uefi | secure-boot
usb = "ehci"                    # ehci (USB 2) | xhci (USB 3): where the stick is plugged in
cpu = "EPYC,+svm,+npt"          # QEMU's CPU model and features
cpus = 2
memory_mib = 2048
display = "std-vga"             # see Display
nic = "e1000"                   # see Nic
clock_ahead_hours = 1           # optional: how wrong its clock is, as a clock that shows local time; may be negative

[internal_disk]                 # optional: the PC's own disk, which a session must leave alone
bus = "sata"                    # sata | nvme
size = "1GiB"
filesystem = "ext4"             # ext4 | vfat
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from builder.places import IMAGES
from soulpad.base.errors import BadInput
from soulpad.base.units import MIB, parse_bytes

PROFILES = IMAGES / "pcs"
LEAST_MEMORY_MIB = 64
LEAST_DISK_BYTES = 128 * MIB
MOST_CLOCK_HOURS = 10 * 365 * 24


class Firmware(StrEnum):
    """How the PC starts: SeaBIOS, OVMF, or OVMF with Microsoft's keys enrolled and enforced."""

    BIOS = "bios"
    UEFI = "uefi"
    SECURE_BOOT = "secure-boot"


class Usb(StrEnum):
    """The USB controller that stick, keyboard and tablet hang on."""

    EHCI = "ehci"
    XHCI = "xhci"


class Display(StrEnum):
    """The graphics card. ``ramfb`` has a firmware framebuffer and nothing that a kernel's DRM could drive."""

    STD_VGA = "std-vga"
    VIRTIO_VGA = "virtio-vga"
    QXL_VGA = "qxl-vga"
    BOCHS = "bochs-display"
    CIRRUS_VGA = "cirrus-vga"
    RAMFB = "ramfb"


class Nic(StrEnum):
    """The network card."""

    NONE = "none"
    E1000 = "e1000"
    E1000E = "e1000e"
    RTL8139 = "rtl8139"


class DiskBus(StrEnum):
    """How the internal disk is attached."""

    SATA = "sata"
    NVME = "nvme"


class FileSystem(StrEnum):
    """What the internal disk is formatted with."""

    EXT4 = "ext4"
    VFAT = "vfat"


@dataclass(frozen=True)
class InternalDisk:
    """The PC's own disk."""

    bus: DiskBus
    size_bytes: int
    filesystem: FileSystem


@dataclass(frozen=True)
class PcProfile:
    """One emulated PC."""

    name: str
    description: str
    firmware: Firmware
    usb: Usb
    cpu: str
    cpus: int
    memory_mib: int
    display: Display
    nic: Nic
    internal_disk: InternalDisk | None
    clock_ahead_hours: int = 0

    @property
    def virtualisation(self) -> bool:
        """Whether the CPU offers hardware virtualisation, so that KVM works inside."""
        return not {"+svm", "+vmx"}.isdisjoint(self.cpu.split(","))


def known_profiles(folder: Path = PROFILES) -> tuple[PcProfile, ...]:
    """All PCs of ``folder``, by name. Raises BadInput when one of the files cannot be used."""
    return tuple(read_profile(path) for path in sorted(folder.glob("*.toml")))


def find_profile(wanted: str, folder: Path = PROFILES) -> PcProfile:
    """The PC called ``wanted``, or described by the TOML file ``wanted``. Raises BadInput."""
    if wanted.endswith(".toml"):
        return read_profile(Path(wanted))
    path = folder / f"{wanted}.toml"
    if not path.is_file() or path.parent != folder:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise BadInput(f"there is no PC called {wanted!r}", f"choose one of: {known}")
    return read_profile(path)


def read_profile(path: Path) -> PcProfile:
    """Reads one file; its name is the PC's name. Raises BadInput."""
    try:
        profile = parse_profile(path.read_text(), str(path))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    if profile.name != path.stem:
        raise BadInput(f"{path} describes a PC called {profile.name!r}", "name the file after the PC")
    return profile


def parse_profile(text: str, where: str) -> PcProfile:
    """Parses a profile; ``where`` names it in errors. Raises BadInput for what is missing, unknown or unusable."""
    try:
        fields = _Fields(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where} is not TOML: {error}") from None
    profile = PcProfile(
        name=fields.take("name", str),
        description=fields.take("description", str),
        firmware=fields.choice("firmware", Firmware),
        usb=fields.choice("usb", Usb),
        cpu=fields.take("cpu", str),
        cpus=fields.count("cpus", 1),
        memory_mib=fields.count("memory_mib", LEAST_MEMORY_MIB),
        display=fields.choice("display", Display),
        nic=fields.choice("nic", Nic),
        internal_disk=_internal_disk(fields.table("internal_disk")),
        clock_ahead_hours=fields.optional_hours("clock_ahead_hours"),
    )
    fields.require_nothing_left()
    return profile


def _internal_disk(fields: _Fields | None) -> InternalDisk | None:
    if fields is None:
        return None
    disk = InternalDisk(
        bus=fields.choice("bus", DiskBus),
        size_bytes=parse_bytes(fields.take("size", str)),
        filesystem=fields.choice("filesystem", FileSystem),
    )
    if disk.size_bytes < LEAST_DISK_BYTES or disk.size_bytes % MIB:
        raise fields.bad("size", f"must be whole MiB, at least {LEAST_DISK_BYTES // MIB}")
    fields.require_nothing_left()
    return disk


Kind = TypeVar("Kind", str, int)
Choice = TypeVar("Choice", bound=StrEnum)


class _Fields:
    """One TOML table, taken apart field by field; what nobody took is a mistake of the writer."""

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self._left = dict(table)
        self._where = where

    def bad(self, name: str, problem: str) -> BadInput:
        return BadInput(f"{self._where}: {name} {problem}", "the fields are described in builder/pc/profile.py")

    def take(self, name: str, kind: type[Kind]) -> Kind:
        value = self._left.pop(name, None)
        if type(value) is not kind:  # a bool is no int here
            raise self.bad(name, "is missing" if value is None else f"must be of type {kind.__name__}")
        return value

    def count(self, name: str, least: int) -> int:
        value = self.take(name, int)
        if value < least:
            raise self.bad(name, f"must be at least {least}")
        return value

    def optional_hours(self, name: str) -> int:
        hours = self.take(name, int) if name in self._left else 0
        if abs(hours) > MOST_CLOCK_HOURS:
            raise self.bad(name, f"must be at most {MOST_CLOCK_HOURS}, before or behind")
        return hours

    def choice(self, name: str, choices: type[Choice]) -> Choice:
        value = self.take(name, str)
        if value not in list(choices):
            raise self.bad(name, f"is {value!r}, must be one of: {', '.join(choices)}")
        return choices(value)

    def table(self, name: str) -> _Fields | None:
        table = self._left.pop(name, None)
        if table is None:
            return None
        if not isinstance(table, dict):
            raise self.bad(name, "must be a table")
        return _Fields(table, f"{self._where}, [{name}]")

    def require_nothing_left(self) -> None:
        for name in self._left:
            raise self.bad(name, "is not a field of a PC")
