"""Whether an XFS was unmounted in order, so that its structures say all: by the last record of its log.

A session that did not end in order leaves changes in the log that a reader without it misses, or worse: blocks that
were given to another file meanwhile. All numbers are big-endian. Source: "XFS Algorithms & Data Structures",
3rd edition, "Journaling Log", and fs/xfs/libxfs/xfs_log_format.h.

    Superblock: 48 first block of the log (8); 96 blocks of the log (4)
    Record, at a multiple of 512 bytes: 0 0xfeedbabe; 4 cycle (4); 8 version (4); 16 its place, cycle and block (8);
                40 count of operations (4); 320 bytes of a log buffer (4): one more block of header for each 32 KiB
    Data block: the record's cycle stands in place of its first 4 bytes
    Operation:  0 transaction (4); 4 length (4); 8 client (1); 9 flags (1), 0x20: the log was unmounted
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from soulpad.base.units import KIB, MIB

BLOCK_BYTES = 512
_MAGIC = b"\xfe\xed\xba\xbe"
_UNMOUNTED = 0x20
_HEADER_ROOM_BYTES = 32 * KIB
_PIECE_BYTES = 4 * MIB


class Record(NamedTuple):
    """A record's header. ``place``: grows with every record; ``data_offset``: where its operations begin, in bytes
    from the start of the log, which may be beyond its end: it goes round."""

    place: int
    cycle: bytes
    operations: int
    data_offset: int


def was_unmounted(read: Callable[[int, int], bytes], log_bytes: int) -> bool:
    """Whether the log ends with the mark of an unmounting. ``read``: bytes at an offset of the log, which is read as a
    whole; little of it is kept."""
    starts = range(0, log_bytes, _PIECE_BYTES)
    found = (record for at in starts for record in records(read(at, min(_PIECE_BYTES, log_bytes - at)), at))
    last = max(found, default=None)
    if last is None or last.operations != 1:
        return False
    operation = read(last.data_offset % log_bytes, BLOCK_BYTES)
    written = operation[:4] == last.cycle  # or it was cut off, and this is an older record's block
    return written and bool(operation[9] & _UNMOUNTED)


def records(piece: bytes, start: int) -> Iterator[Record]:
    """All records whose headers are in a piece of the log, also those of the round before."""
    at = piece.find(_MAGIC)
    while at >= 0:
        if at % BLOCK_BYTES == 0:
            yield record_of(piece[at : at + BLOCK_BYTES], start + at)
        at = piece.find(_MAGIC, at + 1)


def record_of(header: bytes, at: int) -> Record:
    """The record whose first block stands at ``at``."""
    buffer_bytes = int.from_bytes(header[320:324], "big")
    header_blocks = max(1, -(-buffer_bytes // _HEADER_ROOM_BYTES)) if header[11] & 2 else 1
    return Record(
        place=int.from_bytes(header[16:24], "big"),
        cycle=header[4:8],
        operations=int.from_bytes(header[40:44], "big"),
        data_offset=at + header_blocks * BLOCK_BYTES,
    )
