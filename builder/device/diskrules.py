"""The rules by which a disk may be written or is refused: pure decisions on plain facts.

What a disk *is* decides, never its name: the bus that it hangs on, whether it can be taken out, who uses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import DeviceRefused

LIST_HINT = "list the sticks that can be written with: soulpad devices"

# Mount points that make a disk the running system's, whatever bus it hangs on.
SYSTEM_MOUNTS = frozenset({"/", "/usr", "/var", "/etc", "/home", "/boot", "/boot/efi", "/efi", "/nix", "/gnu"})


@dataclass(frozen=True)
class DiskFacts:
    """What the system says of a block device; nothing here is judged.

    ``device_type``: udev's DEVTYPE (disk, partition). ``whole_disk``: the disk of a partition, else itself.
    ``device_number``: its st_rdev. ``kind``: disk, cd, floppy or virtual.
    ``bus``: usb, mmc, nvme, ata, virtio, loop, virtual, other.
    ``card_type``: of an mmc device, SD (a card) or MMC (soldered). ``mounts``, ``swaps``, ``holders``: of the
    device, its partitions, and all that is built upon them (holders are device-mapper and md nodes).
    ``claimed``: the kernel refused to open it exclusively, whoever uses it (another mount namespace, say).
    """

    path: str
    whole_disk: str
    device_number: int = 0
    device_type: str = "disk"
    kind: str = "disk"
    bus: str = "other"
    by_id: str | None = None
    model: str = ""
    serial: str = ""
    size_bytes: int = 0
    sector_bytes: int = 512
    removable: bool = False
    card_type: str = ""
    read_only: bool = False
    mounts: tuple[str, ...] = ()
    swaps: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    claimed: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why a disk is not written: ``because`` completes "/dev/sdx ..."."""

    because: str
    hint: str = LIST_HINT


@dataclass(frozen=True)
class StickDevice:
    """A whole disk, and why it may not be written (empty: it may)."""

    path: Path
    by_id: Path | None
    device_number: int
    model: str
    serial: str
    size_bytes: int
    sector_bytes: int
    bus: str
    removable: bool
    mounted: tuple[str, ...]
    refusals: tuple[Refusal, ...]

    @property
    def writable(self) -> bool:
        return not self.refusals

    @property
    def short_name(self) -> str:
        """What a user types to confirm, such as ``sdb``."""
        return self.path.name

    @property
    def write_path(self) -> Path:
        """The name under which it is opened for writing: by id, so that it is the stick that was shown."""
        return self.by_id or self.path


def reasons_to_refuse(facts: DiskFacts, allow_loop: bool = False) -> tuple[Refusal, ...]:
    """All reasons why this device is not written, the gravest first. Pure."""
    if facts.device_type == "partition":
        hint = f"name the whole disk: {facts.whole_disk}"
        return (Refusal(f"is a partition of {facts.whole_disk}, and a stick is a whole disk", hint),)
    return tuple(
        reason
        for reason in (
            _system(facts),
            _not_a_stick(facts, allow_loop),
            _no_medium(facts),
            *_in_use(facts),
            _write_protected(facts),
            _nameless(facts),
        )
        if reason
    )


def judged(facts: DiskFacts, allow_loop: bool = False) -> StickDevice:
    """The device with the verdict on it."""
    return StickDevice(
        path=Path(facts.path),
        by_id=Path(facts.by_id) if facts.by_id else None,
        device_number=facts.device_number,
        model=facts.model,
        serial=facts.serial,
        size_bytes=facts.size_bytes,
        sector_bytes=facts.sector_bytes,
        bus=facts.bus,
        removable=_can_be_taken_out(facts),
        mounted=facts.mounts,
        refusals=reasons_to_refuse(facts, allow_loop),
    )


def require_writable(facts: DiskFacts, allow_loop: bool = False) -> StickDevice:
    """The device, or DeviceRefused with the gravest reason."""
    device = judged(facts, allow_loop)
    if device.refusals:
        gravest = device.refusals[0]
        raise DeviceRefused(f"{facts.path} {gravest.because}, so it will not be written", gravest.hint)
    return device


def bus_of(sys_path: str, id_bus: str | None = None) -> str:
    """The bus from a device's sysfs path (udev's ID_BUS may be absent, or ``scsi`` of a USB bridge)."""
    if id_bus == "usb" or re.search(r"/usb\d+/", sys_path):
        return "usb"
    for bus, pattern in _BUS_PATTERNS:
        if re.search(pattern, sys_path):
            return bus
    return "other"


_BUS_PATTERNS = (
    ("loop", r"/virtual/block/loop\d+"),
    ("virtual", r"/virtual/block/|/pmem|/zram"),
    ("nvme", r"/nvme"),
    ("mmc", r"/mmc_host/|/mmc\d+:"),
    ("virtio", r"/virtio\d+"),
    ("ata", r"/ata\d+/"),
)


def preferred_link(links: Iterable[str]) -> str | None:
    """The ``/dev/disk/by-id`` link that a person can read best: bus and model before a bare number."""
    by_id = [link for link in links if link.startswith("/dev/disk/by-id/")]
    bare = re.compile(r"/(wwn|nvme-eui|scsi-\d|lvm|dm)-?")
    return min(by_id, key=lambda link: (bool(bare.search(link)), len(link), link), default=None)


def _can_be_taken_out(facts: DiskFacts) -> bool:
    return facts.bus == "usb" or facts.removable or (facts.bus == "mmc" and facts.card_type == "SD")


def _system(facts: DiskFacts) -> Refusal | None:
    held = sorted(SYSTEM_MOUNTS.intersection(facts.mounts))
    return Refusal(f"holds the running system ({held[0]} is on it)") if held else None


def _not_a_stick(facts: DiskFacts, allow_loop: bool) -> Refusal | None:
    if facts.bus == "loop":
        return None if allow_loop else Refusal("is a loop device, not a stick")
    if facts.kind == "cd":
        return Refusal("is an optical drive, not a stick")
    if facts.kind == "floppy":
        return Refusal("is a floppy drive, not a stick")
    if facts.bus == "virtual":
        return Refusal("is not a real disk")
    if not _can_be_taken_out(facts):
        return Refusal(f"is this PC's own disk ({facts.bus}, not removable)")
    return None


def _no_medium(facts: DiskFacts) -> Refusal | None:
    return None if facts.size_bytes else Refusal("has no medium in it", "put the card in and name it again")


def _in_use(facts: DiskFacts) -> list[Refusal]:
    used = []
    if facts.mounts:
        used.append(
            Refusal(f"is mounted at {facts.mounts[0]}", f"if that is the right stick: umount {facts.mounts[0]}")
        )
    if facts.swaps:
        used.append(
            Refusal(f"is used as swap ({facts.swaps[0]})", f"if that is the right stick: swapoff {facts.swaps[0]}")
        )
    if facts.holders:
        used.append(
            Refusal(
                f"is in use by {facts.holders[0]}",
                "close what lies on it (cryptsetup close, vgchange -an, mdadm --stop)",
            )
        )
    if facts.claimed and not used:
        used.append(Refusal("is in use by another program or a mount elsewhere", "close or unmount it there first"))
    return used


def _write_protected(facts: DiskFacts) -> Refusal | None:
    return Refusal("is write-protected", "move the switch at its side and put it in again") if facts.read_only else None


def _nameless(facts: DiskFacts) -> Refusal | None:
    if facts.by_id or facts.bus == "loop":
        return None
    # a kernel name may be another disk's a moment later; a name by id may not
    return Refusal("has no name under /dev/disk/by-id", "is udev running? put the stick in again")
