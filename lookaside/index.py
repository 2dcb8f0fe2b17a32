"""Indexes: which chunk stands in which pack, and where. An index lies beside the packs as ``soulpad-index``.

    index    = header | counts | packs | fan-out | check | records | digest            numbers are little-endian
    header   64 bytes   see framing; the magic is "SOULINDX", the version 1, the domain zeros: packs of any domain
    counts   16 bytes   packs u32 | fan bits u8 | zeros (3) | records u64
    packs    40 bytes each   a pack's name (32) | its bytes u64
    fan-out  4 bytes for each of 2**(fan bits) buckets: how many records are in it and in those before, u32
    check    16 bytes   of all before it (see framing)
    records  48 bytes each, sorted   chunk id (32) | offset of its head u64 | body bytes u32 | number of the pack u32
    digest   32 bytes   BLAKE3 of all before it

A record's bucket is the number that the first bits of its chunk id make. So whoever has read the part up to the check
finds any chunk by one read of a few KiB, from a disc or over HTTP, and needs not read the rest.

An index is a hint. Packs never change, so one that was true stays true for those of its packs that are there. One that
lies leads to a place where another chunk stands or none: the head there tells so, and the packs' own tables are read.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

from lookaside.domain import DOMAIN_ID_BYTES, ChunkId, DomainId
from lookaside.errors import DamagedIndex
from lookaside.framing import CHECK_BYTES, HEADER_BYTES, NotWhole, checked, domain_in, header, require_checked
from lookaside.pack import HEAD_BYTES, Entry, PackName

INDEX_FILE = "soulpad-index"
MAGIC = b"SOULINDX"
VERSION = 1
DIGEST_BYTES = 32
BUCKET_RECORDS = 64  # as many as a bucket is to have, more or less: 3 KiB
MOST_FAN_BITS = 20
MOST_PACKS = 1 << 20  # 16 TiB of packs
LARGEST_PACK = 1 << 40
LARGEST_BUCKET_RECORDS = 1 << 16

_COUNTS = struct.Struct("<IB3xQ")
_PACK = struct.Struct("<32sQ")
_RECORD = struct.Struct("<32sQII")
FRONT_BYTES = HEADER_BYTES + _COUNTS.size
RECORD_BYTES = _RECORD.size

Read = Callable[[int, int], bytes]  # (offset, count) -> so many bytes, fewer at the end


class PackFile(NamedTuple):
    """A pack, and how many bytes it has."""

    name: PackName
    pack_bytes: int


class Place(NamedTuple):
    """Where a chunk is to stand: ``offset`` is its head's in the pack."""

    pack: PackName
    offset: int


@dataclass(frozen=True)
class Index:
    """An index of which the part up to the check was read; ``read`` gives the rest. ``fan_out``: see above."""

    packs: tuple[PackFile, ...]
    fan_out: Sequence[int]
    record_count: int
    records_start: int
    read: Read

    def places(self, chunk_id: ChunkId) -> list[Place]:
        """Where it says that the chunk stands: once, or nowhere. Raises DamagedIndex, and what reading raises."""
        start, end = self.bucket(chunk_id)
        part = self.read(self.records_start + start * RECORD_BYTES, (end - start) * RECORD_BYTES)
        if len(part) != (end - start) * RECORD_BYTES:
            raise damaged("it is cut short")
        numbers = range(end - start)
        ids_start = (number * RECORD_BYTES for number in numbers)
        first = bisect_left([part[at : at + len(chunk_id)] for at in ids_start], chunk_id)
        found = []
        for number in numbers[first:]:
            found_id, offset, body_bytes, pack = _RECORD.unpack_from(part, number * RECORD_BYTES)
            if found_id != chunk_id:
                break
            found.append(self.place(offset, body_bytes, pack))
        return found

    def bucket(self, chunk_id: ChunkId) -> tuple[int, int]:
        """The numbers of the records among which the chunk's is, and of the first after them. Raises DamagedIndex."""
        number = bucket_of(chunk_id, len(self.fan_out).bit_length() - 1)
        start, end = self.fan_out[number - 1] if number else 0, self.fan_out[number]
        if not start <= end <= self.record_count or end - start > LARGEST_BUCKET_RECORDS:
            raise damaged("its fan-out makes no sense")
        return start, end

    def place(self, offset: int, body_bytes: int, pack: int) -> Place:
        """What a record says. Raises DamagedIndex."""
        if pack >= len(self.packs) or offset + HEAD_BYTES + body_bytes > min(self.packs[pack].pack_bytes, LARGEST_PACK):
            raise damaged("a record makes no sense")
        return Place(self.packs[pack].name, offset)


def encode_index(packs: Iterable[tuple[PackFile, Iterable[Entry]]]) -> bytes:
    """The index of these packs, whose entries their tables list."""
    files, records = [], []
    for number, (file, entries) in enumerate(packs):
        files.append(file)
        for entry in entries:
            head_offset = entry.body_offset - HEAD_BYTES
            records.append(_RECORD.pack(entry.chunk_id, head_offset, entry.body_bytes, number))
    records.sort()
    bits = fan_bits(len(records))
    front = b"".join(
        [
            header(MAGIC, VERSION, DomainId(bytes(DOMAIN_ID_BYTES))),
            _COUNTS.pack(len(files), bits, len(records)),
            *(_PACK.pack(bytes.fromhex(file.name), file.pack_bytes) for file in files),
            fan_out_of(records, bits),
        ]
    )
    content = checked(front) + b"".join(records)
    return content + blake3(content).digest()


def open_index(read: Read, index_bytes: int) -> Index:
    """The index of so many bytes that ``read`` gives, its records not read. Raises DamagedIndex, UnknownFormat, and
    what reading raises."""
    start = read(0, FRONT_BYTES)
    try:
        domain_in(start[:HEADER_BYTES], MAGIC, VERSION)
    except NotWhole:
        raise damaged("its header is altered or cut short") from None
    if len(start) < FRONT_BYTES:
        raise damaged("it is cut short")
    pack_count, bits, record_count = _COUNTS.unpack(start[HEADER_BYTES:])
    if pack_count > MOST_PACKS or bits > MOST_FAN_BITS:
        raise damaged("its counts make no sense")
    fan_start = FRONT_BYTES + pack_count * _PACK.size
    records_start = fan_start + (4 << bits) + CHECK_BYTES
    if records_start + record_count * RECORD_BYTES + DIGEST_BYTES != index_bytes:
        raise damaged("it is cut short")
    try:
        front = require_checked(read(0, records_start), records_start)
    except NotWhole:
        raise damaged("its first part was altered") from None
    packs = tuple(
        PackFile(PackName(name.hex()), pack_bytes)
        for name, pack_bytes in _PACK.iter_unpack(front[FRONT_BYTES:fan_start])
    )
    fan_out = struct.unpack(f"<{1 << bits}I", front[fan_start:])
    return Index(packs, fan_out, record_count, records_start, read)


def require_whole_index(read: Read, index_bytes: int) -> Index:
    """The index, all of its bytes proved by its digest. Raises as ``open_index`` does."""
    index = open_index(read, index_bytes)
    digest, position, end = blake3(), 0, index_bytes - DIGEST_BYTES
    while position < end:
        part = read(position, min(1 << 20, end - position))
        if not part:
            raise damaged("it is cut short")
        digest.update(part)
        position += len(part)
    if read(end, DIGEST_BYTES) != digest.digest():
        raise damaged("its records were altered")
    return index


def bucket_of(chunk_id: bytes, bits: int) -> int:
    """The bucket that a chunk's record is in."""
    return int.from_bytes(chunk_id[:4], "big") >> (32 - bits)


def fan_bits(records: int) -> int:
    """How many bits tell the buckets of so many records."""
    return min(MOST_FAN_BITS, (records // BUCKET_RECORDS).bit_length())


def fan_out_of(records: Iterable[bytes], bits: int) -> bytes:
    """The fan-out of sorted records."""
    counts = [0] * (1 << bits)
    for record in records:
        counts[bucket_of(record, bits)] += 1
    total = 0
    for number, count in enumerate(counts):
        counts[number] = total = total + count
    return struct.pack(f"<{len(counts)}I", *counts)


def damaged(what: str) -> DamagedIndex:
    """The error for an index that is not whole."""
    return DamagedIndex(f"An index is damaged: {what}.", "make it anew: soulpad lookaside index FOLDER")
