"""Gathers what udev, sysfs and /proc say of a block device. Decides nothing; changes nothing."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyudev

from builder.device.diskrules import LIST_HINT, DiskFacts, bus_of, preferred_link
from soulpad.base.errors import DeviceRefused

SYSFS_SECTOR_BYTES = 512  # the unit of sysfs's ``size``, whatever the device's own sectors are


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo. ``number``: major:minor of the file system, which of btrfs is no device's."""

    number: str
    source: str
    target: str


def of_path(named: Path) -> DiskFacts:
    """The facts of the device that a name leads to; DeviceRefused when it is no block device."""
    try:
        status = named.stat()
    except OSError as error:
        raise DeviceRefused(f"{named}: {os.strerror(error.errno or errno.EIO)}", LIST_HINT) from None
    if not stat.S_ISBLK(status.st_mode):
        raise DeviceRefused(f"{named} is not a disk", LIST_HINT)
    try:
        device = pyudev.Devices.from_device_number(pyudev.Context(), "block", status.st_rdev)
    except pyudev.DeviceNotFoundError:
        raise DeviceRefused(f"{named} is a device without a disk behind it", LIST_HINT) from None
    return of_device(device)


def of_all_disks() -> list[DiskFacts]:
    """The facts of every whole disk; empty loop devices and the like are left out."""
    devices = pyudev.Context().list_devices(subsystem="block", DEVTYPE="disk")
    facts = (of_device(device) for device in devices if device.device_node)
    return sorted((disk for disk in facts if _worth_showing(disk)), key=lambda disk: disk.path)


def of_device(device: pyudev.Device) -> DiskFacts:
    """The facts of one udev device."""
    parent = device.find_parent("block", "disk")
    disk = device if parent is None else parent
    stack = list(_stack(disk))
    mounts = mounts_of(Path("/proc/self/mountinfo").read_text(), *_names(stack))
    properties = disk.properties
    sys_path = str(Path(device.sys_path).resolve())
    bus = bus_of(sys_path, properties.get("ID_BUS"))
    return DiskFacts(
        path=device.device_node,
        whole_disk=disk.device_node,
        device_number=device.device_number,
        device_type=device.device_type,
        kind=_kind(disk, bus),
        bus=bus,
        by_id=preferred_link(device.device_links),
        model=_model(disk),
        serial=properties.get("ID_SERIAL_SHORT") or _attribute(disk, "device/serial"),
        size_bytes=int(_attribute(device, "size") or 0) * SYSFS_SECTOR_BYTES,
        sector_bytes=int(_attribute(disk, "queue/logical_block_size") or 512),
        removable=_attribute(disk, "removable") == "1",
        card_type=_attribute(disk, "device/type") if bus == "mmc" else "",
        read_only=_attribute(device, "ro") == "1",
        mounts=tuple(mounts),
        swaps=tuple(swaps_of(Path("/proc/swaps").read_text(), _names(stack)[1])),
        holders=tuple(sorted({f"/dev/{item.sys_name}" for item in stack if _is_built_upon(item)})),
        claimed=_claimed(device.device_node),
    )


def mounts_of(mountinfo: str, numbers: Iterable[str], nodes: Iterable[str]) -> Iterator[str]:
    """Mount points, in order, of file systems on a device number or node. ``mountinfo``: see proc(5)."""
    numbers, nodes = set(numbers), set(nodes)
    for mount in parse_mountinfo(mountinfo):
        if mount.number in numbers or (mount.source.startswith("/dev/") and _real(mount.source) in nodes):
            yield mount.target


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The mounts of a mountinfo file."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, behind = before.split(), after.split()
        if len(fields) > 4 and len(behind) > 1:
            yield Mount(fields[2], _unescaped(behind[1]), _unescaped(fields[4]))


def swaps_of(text: str, nodes: Iterable[str]) -> list[str]:
    """The swap partitions of ``/proc/swaps`` among ``nodes``."""
    nodes = set(nodes)
    named = (_unescaped(line.split()[0]) for line in text.splitlines()[1:] if line.strip())
    return [name for name in named if _real(name) in nodes]


def _stack(disk: pyudev.Device) -> Iterator[pyudev.Device]:
    """The disk, its partitions, and whatever holds one of them, at any depth."""
    pending, seen = (
        [disk, *disk.context.list_devices(parent=disk, subsystem="block", DEVTYPE="partition")],
        set(),
    )
    while pending:
        device = pending.pop(0)
        if device.sys_path in seen:
            continue
        seen.add(device.sys_path)
        yield device
        for holder in sorted(Path(device.sys_path, "holders").glob("*")):
            pending.append(pyudev.Devices.from_sys_path(disk.context, str(holder.resolve())))


def _names(stack: Iterable[pyudev.Device]) -> tuple[list[str], list[str]]:
    devices = [device for device in stack if device.device_node]
    numbers = [f"{os.major(item.device_number)}:{os.minor(item.device_number)}" for item in devices]
    return numbers, [item.device_node for item in devices]


def _is_built_upon(device: pyudev.Device) -> bool:
    return re.match(r"(dm-|md|bcache)", device.sys_name) is not None


def _kind(disk: pyudev.Device, bus: str) -> str:
    if disk.properties.get("ID_TYPE") == "cd" or disk.sys_name.startswith("sr"):
        return "cd"
    if disk.properties.get("ID_TYPE") == "floppy" or disk.sys_name.startswith("fd"):
        return "floppy"
    return "virtual" if bus in ("virtual", "loop") else "disk"


def _model(disk: pyudev.Device) -> str:
    vendor = _attribute(disk, "device/vendor")
    model = _attribute(disk, "device/model") or disk.properties.get("ID_MODEL") or _attribute(disk, "device/name")
    # a PCI or virtio "vendor" is a number, which tells a person nothing
    return " ".join(word for word in (vendor, model) if word and not word.startswith("0x"))


def _attribute(device: pyudev.Device, name: str) -> str:
    value = device.attributes.get(name)
    return value.decode(errors="replace").strip() if value else ""


def _claimed(node: str) -> bool:
    """Whether the kernel refuses an exclusive open; who may not ask hears of no claim."""
    try:
        os.close(os.open(node, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _worth_showing(disk: DiskFacts) -> bool:
    return bool(disk.size_bytes) or disk.bus not in ("loop", "virtual")


def _unescaped(text: str) -> str:
    """proc(5) writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _real(path: str) -> str:
    return os.path.realpath(path)
