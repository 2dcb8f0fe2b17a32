"""The GUID Partition Table, byte by byte: UEFI specification 2.10, chapter 5. Pure functions on bytes.

sfdisk and sgdisk of Debian 12 write tables for 512-byte sectors only when the target is a plain file. A table counts
in sectors, so one made for 512 is not seen on a stick with 4096-byte sectors; this module makes both.

All numbers are little-endian. LBA 0 is the protective MBR, LBA 1 the primary header, LBA 2 and following the primary
entries; the backup entries and, in the very last sector, the backup header end the disk.

    Header (5.3.2, table 5.5), 92 bytes, the rest of its sector zero:
      0  8  "EFI PART"                      40  8  first usable LBA
      8  4  revision 1.0                    48  8  last usable LBA
     12  4  header bytes: 92                56 16  disk GUID
     16  4  CRC-32 of the header, this 0    72  8  LBA of this copy's entries
     20  4  reserved, 0                     80  4  number of entries: 128
     24  8  LBA of this header              84  4  bytes of an entry: 128
     32  8  LBA of the other header         88  4  CRC-32 of all entries

    Entry (5.3.3, table 5.6), 128 bytes; an unused one is zero:
      0 16  type GUID                       40  8  last LBA, inclusive
     16 16  partition GUID                  48  8  attributes
     32  8  first LBA                       56 72  name, UTF-16LE, padded with zeros
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

SIGNATURE = b"EFI PART"
ENTRY_COUNT = 128
ENTRIES_BYTES = ENTRY_COUNT * 128

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_REVISION = 0x00010000
_UNUSED = bytes(16)

BOOT_CODE_BYTES = 446  # of the protective MBR: GRUB's first stage and the old disk signature


class NoTable(Exception):
    """The bytes are no partition table, or a damaged one. The text says which."""


@dataclass(frozen=True)
class Entry:
    """One partition; both LBAs belong to it."""

    name: str
    type_guid: UUID
    uuid: UUID
    first_lba: int
    last_lba: int


@dataclass(frozen=True)
class Table:
    """A disk of ``sector_count`` sectors of ``sector_bytes`` each."""

    disk_uuid: UUID
    sector_bytes: int
    sector_count: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Header:
    """The fields of a checked header that lead to everything else."""

    disk_uuid: UUID
    this_lba: int
    other_lba: int
    entries_lba: int
    entries_crc: int


def entry_sectors(sector_bytes: int) -> int:
    """Sectors that one copy of the entries takes: 32 of 512 bytes, 4 of 4096 bytes."""
    return -(-ENTRIES_BYTES // sector_bytes)


def encode_start(table: Table, boot_code: bytes) -> bytes:
    """The disk's first sectors: protective MBR with ``boot_code`` (446 bytes), primary header, entries."""
    last_lba = table.sector_count - 1
    blocks = (
        _protective_mbr(table.sector_count, boot_code),
        _header(table, this_lba=1, other_lba=last_lba, entries_lba=2),
        _entries(table),
    )
    return b"".join(_padded(block, table.sector_bytes) for block in blocks)


def encode_end(table: Table) -> bytes:
    """The disk's last sectors: backup entries, backup header."""
    last_lba = table.sector_count - 1
    entries_lba = last_lba - entry_sectors(table.sector_bytes)
    blocks = (_entries(table), _header(table, this_lba=last_lba, other_lba=1, entries_lba=entries_lba))
    return b"".join(_padded(block, table.sector_bytes) for block in blocks)


def decode_header(sector: bytes) -> Header:
    """Checks one header sector; raises NoTable."""
    if len(sector) < _HEADER.size or not sector.startswith(SIGNATURE):
        raise NoTable("it has no GUID partition table")
    fields = _HEADER.unpack_from(sector)
    _, _, header_bytes, crc, _, this_lba, other_lba, _, _, disk, entries_lba, count, entry_bytes, entries_crc = fields
    unsigned = sector[:16] + bytes(4) + sector[20:header_bytes]
    if zlib.crc32(unsigned) != crc:
        raise NoTable("its partition table's checksum is wrong")
    if (header_bytes, count, entry_bytes) != (_HEADER.size, ENTRY_COUNT, _ENTRY.size):
        raise NoTable("its partition table is of a size that this program does not write")
    return Header(UUID(bytes_le=disk), this_lba, other_lba, entries_lba, entries_crc)


def decode_entries(content: bytes, header: Header) -> tuple[Entry, ...]:
    """The partitions in ENTRIES_BYTES of ``content``, in table order; raises NoTable."""
    if len(content) != ENTRIES_BYTES or zlib.crc32(content) != header.entries_crc:
        raise NoTable("its partition entries' checksum is wrong")
    return tuple(
        Entry(
            name=name.decode("utf-16-le", errors="replace").partition("\0")[0],
            type_guid=UUID(bytes_le=type_guid),
            uuid=UUID(bytes_le=uuid),
            first_lba=first_lba,
            last_lba=last_lba,
        )
        for type_guid, uuid, first_lba, last_lba, _, name in _ENTRY.iter_unpack(content)
        if type_guid != _UNUSED
    )


def _header(table: Table, this_lba: int, other_lba: int, entries_lba: int) -> bytes:
    reserved = entry_sectors(table.sector_bytes)
    fields = (
        this_lba,
        other_lba,
        2 + reserved,
        table.sector_count - 2 - reserved,
        table.disk_uuid.bytes_le,
        entries_lba,
        ENTRY_COUNT,
        _ENTRY.size,
        zlib.crc32(_entries(table)),
    )
    unsigned = _HEADER.pack(SIGNATURE, _REVISION, _HEADER.size, 0, 0, *fields)
    return _HEADER.pack(SIGNATURE, _REVISION, _HEADER.size, zlib.crc32(unsigned), 0, *fields)


def _entries(table: Table) -> bytes:
    packed = b"".join(_entry(entry) for entry in table.entries)
    return packed.ljust(ENTRIES_BYTES, b"\0")


def _entry(entry: Entry) -> bytes:
    name = entry.name.encode("utf-16-le")
    return _ENTRY.pack(
        entry.type_guid.bytes_le, entry.uuid.bytes_le, entry.first_lba, entry.last_lba, 0, name.ljust(72, b"\0")
    )


def _protective_mbr(sector_count: int, boot_code: bytes) -> bytes:
    """5.2.3, table 5.4: one record of type EE over the whole disk, as far as 32 bits count.

    It is marked active: some BIOS PCs boot no disk without an active record, and UEFI ignores the mark.
    """
    record = struct.pack(
        "<B3sB3sII", 0x80, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(sector_count - 1, 0xFFFFFFFF)
    )
    return boot_code[:BOOT_CODE_BYTES].ljust(BOOT_CODE_BYTES, b"\0") + record + bytes(48) + b"\x55\xaa"


def _padded(block: bytes, sector_bytes: int) -> bytes:
    return block.ljust(-(-len(block) // sector_bytes) * sector_bytes, b"\0")
