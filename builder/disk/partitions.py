"""The stick's partition table: planned in bytes, written to an image or a device, read back, grown.

A Layout counts in bytes, aligned to 1 MiB, so that it holds for sectors of 512 and of 4096 bytes alike; only the
table on the disk differs (builder.disk.gpt). The partitions and their names: soulpad.store.stick.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid5

from builder.disk import gpt
from soulpad.base.errors import BadImage, BadInput, DeviceTooSmall
from soulpad.base.units import KIB, MIB, SECTOR_BYTES, format_bytes, round_up
from soulpad.store.stick import PAYLOAD_OFFSET_BYTES, ROLES, partition_name, role_of

ALIGNMENT_BYTES = MIB
PARCELS_ALIGNMENT_BYTES = 4 * MIB  # the erase blocks of common sticks
BIOS_BYTES = MIB
# Kernel and initrd of both host slots with room; and 269 MiB is the least FAT32 of 4096-byte sectors.
ESP_BYTES = 288 * MIB
HOST_GROWTH_BYTES = 512 * MIB
LEAST_PARCELS_BYTES = PAYLOAD_OFFSET_BYTES + 304 * MIB  # mkfs.xfs makes nothing below 300 MB
BACKUP_BYTES = MIB  # behind the last partition: the backup table takes 20 KiB at most

TYPE_GUIDS = {
    "bios": UUID("21686148-6449-6E6F-744E-656564454649"),  # GRUB manual, "BIOS installation"
    "esp": UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),  # UEFI 2.10, table 5.7
    "host-a": UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4"),  # Linux file system data
    "host-b": UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    "parcels": UUID("CA7D7CCB-63ED-4C53-861C-1742536059CC"),  # Linux LUKS
}

_UUID_NAMESPACE = UUID("4b08731f-edf7-40a3-a888-58cfb3ca9d61")  # drawn once at random
# All that a table of either sector size takes at a disk's start (24 KiB) or end (20 KiB): wiped with each writing,
# so that no table of the other sector size survives beside the new one.
_TABLE_AREA_BYTES = 32 * KIB

_NOT_OURS = "see what a good one looks like: soulpad inspect IMAGE"


@dataclass(frozen=True)
class Partition:
    """One partition. ``role`` is one of ``soulpad.store.stick.ROLES``."""

    role: str
    name: str
    type_guid: UUID
    uuid: UUID
    offset_bytes: int
    size_bytes: int

    @property
    def end_bytes(self) -> int:
        return self.offset_bytes + self.size_bytes


@dataclass(frozen=True)
class Layout:
    """A stick's partitions, in the order of their offsets. ``sector_bytes`` is what its table on disk counts in."""

    stick_id: str
    total_bytes: int
    partitions: tuple[Partition, ...]
    sector_bytes: int = SECTOR_BYTES

    def of(self, role: str) -> Partition:
        """The partition with this role; every Layout has each role once."""
        return next(partition for partition in self.partitions if partition.role == role)


def least_total_bytes(
    host_image_bytes: int,
    *,
    parcels_bytes: int = LEAST_PARCELS_BYTES,
    esp_bytes: int = ESP_BYTES,
    host_slot_bytes: int | None = None,
) -> int:
    """The size of the smallest disk that holds a parcels partition of ``parcels_bytes`` beside all else."""
    before = _before_parcels(esp_bytes, _slot_bytes(host_image_bytes, host_slot_bytes))
    return before + round_up(parcels_bytes, ALIGNMENT_BYTES) + BACKUP_BYTES


def plan(
    total_bytes: int,
    host_image_bytes: int,
    stick_id: str,
    *,
    esp_bytes: int = ESP_BYTES,
    host_slot_bytes: int | None = None,
) -> Layout:
    """The layout of a stick of ``total_bytes``; the parcels partition takes what the others leave.

    A host slot defaults to the host image and HOST_GROWTH_BYTES. Raises BadInput when it does not fit.
    """
    slot_bytes = _slot_bytes(host_image_bytes, host_slot_bytes)
    least = least_total_bytes(host_image_bytes, esp_bytes=esp_bytes, host_slot_bytes=slot_bytes)
    if total_bytes < least:
        raise BadInput(
            f"{format_bytes(total_bytes)} is too small for a stick with this host",
            f"make it at least {-(-least // MIB)} MiB",
        )
    sizes = {
        "bios": BIOS_BYTES,
        "esp": round_up(esp_bytes, ALIGNMENT_BYTES),
        "host-a": slot_bytes,
        "host-b": slot_bytes,
    }
    partitions = []
    offset_bytes = ALIGNMENT_BYTES
    for role, size_bytes in sizes.items():
        partitions.append(_partition(role, stick_id, offset_bytes, size_bytes))
        offset_bytes += size_bytes
    start = round_up(offset_bytes, PARCELS_ALIGNMENT_BYTES)
    partitions.append(_partition("parcels", stick_id, start, _last_end_bytes(total_bytes) - start))
    return Layout(stick_id, total_bytes, tuple(partitions))


def grown(layout: Layout, total_bytes: int) -> Layout:
    """The same stick on a larger disk: the backup table moves to its end, the parcels partition fills it.

    Raises DeviceTooSmall when the disk is smaller than the layout.
    """
    if total_bytes < layout.total_bytes:
        raise _too_small(total_bytes, layout.total_bytes)
    parcels = layout.of("parcels")
    # Never shorter than it was: an image of another program's making may leave less than BACKUP_BYTES at its end.
    size_bytes = max(parcels.size_bytes, _last_end_bytes(total_bytes) - parcels.offset_bytes)
    larger = replace(parcels, size_bytes=size_bytes)
    partitions = tuple(larger if partition is parcels else partition for partition in layout.partitions)
    return replace(layout, total_bytes=total_bytes, partitions=partitions)


def write_table(image: Path, layout: Layout) -> None:
    """Makes ``image`` a sparse file of ``layout.total_bytes`` (what it holds stays) and writes its table."""
    image.touch()
    os.truncate(image, layout.total_bytes)
    relabel(image, layout, layout.sector_bytes)


def relabel(path: Path, layout: Layout, sector_bytes: int) -> None:
    """Writes both copies of the table to an image or device, counting in ``sector_bytes`` (its logical sector).

    Boot code in the MBR and all partitions' contents stay. Raises DeviceTooSmall. A power cut leaves one whole
    copy at least: the backup is durable before the primary is touched.
    """
    table = _table(layout, sector_bytes)
    with _opened(path, os.O_RDWR) as disk:
        available_bytes = os.lseek(disk, 0, os.SEEK_END)
        if available_bytes < layout.total_bytes:
            raise _too_small(available_bytes, layout.total_bytes)
        end = gpt.encode_end(table)
        end_bytes = table.sector_count * sector_bytes
        os.pwrite(disk, end.rjust(_TABLE_AREA_BYTES, b"\0"), end_bytes - _TABLE_AREA_BYTES)
        os.fsync(disk)
        start = gpt.encode_start(table, boot_code=os.pread(disk, gpt.BOOT_CODE_BYTES, 0))
        os.pwrite(disk, start.ljust(_TABLE_AREA_BYTES, b"\0"), 0)
        os.fsync(disk)


def read_layout(path: Path, *, cut_short: bool = False) -> Layout:
    """The layout of an image or device. Raises BadImage when it is not ours, or, unless ``cut_short``, shorter than its
    own table says."""
    try:
        with _opened(path, os.O_RDONLY) as disk:
            return _layout(path, _read_table(disk, cut_short))
    except OSError as error:
        hint = "devices need root" if isinstance(error, PermissionError) else "check the name"
        raise BadImage(f"{path} cannot be read: {error.strerror}", hint) from None
    except gpt.NoTable as error:
        raise BadImage(f"{path} is not a SoulPad stick: {error}", _NOT_OURS) from None


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_table(disk: int, cut_short: bool) -> gpt.Table:
    """The primary table, or the backup when the primary is damaged; for either sector size. Raises NoTable."""
    disk_bytes = os.lseek(disk, 0, os.SEEK_END)
    problems = []
    for where_bytes, sector_bytes in ((512, 512), (4096, 4096), (disk_bytes - 512, 512), (disk_bytes - 4096, 4096)):
        try:
            return _read_copy(disk, disk_bytes, where_bytes, sector_bytes, cut_short)
        except gpt.NoTable as error:
            problems.append(error)
    raise next((problem for problem in problems if "no GUID" not in str(problem)), problems[0])


def _read_copy(disk: int, disk_bytes: int, where_bytes: int, sector_bytes: int, cut_short: bool) -> gpt.Table:
    header = gpt.decode_header(os.pread(disk, sector_bytes, where_bytes) if where_bytes > 0 else b"")
    sector_count = max(header.this_lba, header.other_lba) + 1
    if sector_count * sector_bytes > disk_bytes and not cut_short:
        whole = format_bytes(sector_count * sector_bytes)
        raise gpt.NoTable(f"it is truncated, {format_bytes(disk_bytes)} of {whole} are there")
    content = os.pread(disk, gpt.ENTRIES_BYTES, header.entries_lba * sector_bytes)
    return gpt.Table(header.disk_uuid, sector_bytes, sector_count, gpt.decode_entries(content, header))


def _layout(path: Path, table: gpt.Table) -> Layout:
    partitions = tuple(sorted((_from_entry(entry, table) for entry in table.entries), key=lambda p: p.offset_bytes))
    stick_ids = {partition.name.rpartition("-")[2] for partition in partitions}
    if tuple(partition.role for partition in partitions) != ROLES or len(stick_ids) != 1:
        raise gpt.NoTable("its partitions are not a stick's")
    ends = [0, *(partition.end_bytes for partition in partitions)]
    starts = [*(partition.offset_bytes for partition in partitions), table.sector_count * table.sector_bytes]
    if any(start < end for start, end in zip(starts, ends, strict=True)):
        raise gpt.NoTable("its partitions overlap or reach past its end")
    return Layout(stick_ids.pop(), table.sector_count * table.sector_bytes, partitions, table.sector_bytes)


def _from_entry(entry: gpt.Entry, table: gpt.Table) -> Partition:
    return Partition(
        role=role_of(entry.name) or "",
        name=entry.name,
        type_guid=entry.type_guid,
        uuid=entry.uuid,
        offset_bytes=entry.first_lba * table.sector_bytes,
        size_bytes=(entry.last_lba - entry.first_lba + 1) * table.sector_bytes,
    )


def _table(layout: Layout, sector_bytes: int) -> gpt.Table:
    entries = tuple(
        gpt.Entry(
            name=partition.name,
            type_guid=partition.type_guid,
            uuid=partition.uuid,
            first_lba=partition.offset_bytes // sector_bytes,
            last_lba=partition.end_bytes // sector_bytes - 1,
        )
        for partition in layout.partitions
    )
    disk_uuid = uuid5(_UUID_NAMESPACE, layout.stick_id)
    return gpt.Table(disk_uuid, sector_bytes, layout.total_bytes // sector_bytes, entries)


def _partition(role: str, stick_id: str, offset_bytes: int, size_bytes: int) -> Partition:
    name = partition_name(role, stick_id)
    return Partition(role, name, TYPE_GUIDS[role], uuid5(_UUID_NAMESPACE, name), offset_bytes, size_bytes)


def _slot_bytes(host_image_bytes: int, host_slot_bytes: int | None) -> int:
    slot_bytes = round_up(
        host_image_bytes + HOST_GROWTH_BYTES if host_slot_bytes is None else host_slot_bytes, ALIGNMENT_BYTES
    )
    if slot_bytes < host_image_bytes:
        raise BadInput(
            f"a host slot of {format_bytes(slot_bytes)} does not hold a host of {format_bytes(host_image_bytes)}",
            f"make the slots at least {-(-host_image_bytes // MIB)} MiB",
        )
    return slot_bytes


def _before_parcels(esp_bytes: int, slot_bytes: int) -> int:
    used = ALIGNMENT_BYTES + BIOS_BYTES + round_up(esp_bytes, ALIGNMENT_BYTES) + 2 * slot_bytes
    return round_up(used, PARCELS_ALIGNMENT_BYTES)


def _last_end_bytes(total_bytes: int) -> int:
    return (total_bytes - BACKUP_BYTES) // ALIGNMENT_BYTES * ALIGNMENT_BYTES


def _too_small(available_bytes: int, needed_bytes: int) -> DeviceTooSmall:
    return DeviceTooSmall(
        f"{format_bytes(available_bytes)} is too small for this stick",
        f"take one of at least {-(-needed_bytes // MIB)} MiB",
    )
