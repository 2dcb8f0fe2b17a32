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

from collections.abc import Iterator
from typing import NamedTuple

from soulpad.base.units import KIB, MIB

BLOCK_BYTES = 512
_MAGIC = b"\xfe\xed\xba\xbe"
_UNMOUNTED = 0x20
_HEADER_ROOM_BYTES = 32 * KIB
PIECE_BYTES = 4 * MIB


class Record(NamedTuple):
    """A record's header. ``place``: grows with every record; ``data_offset``: where its operations begin, in bytes
    from the start of the log."""

    place: int
    cycle: bytes
    operations: int
    data_offset: int


def was_unmounted(pieces: Iterator[bytes]) -> bool:
    """Whether the log, read in pieces of any size that are whole blocks, ends with the mark of an unmounting."""
    log = b"".join(pieces)
    last = max(records(log), default=None)
    if last is None:
        return False
    operation = log[last.data_offset : last.data_offset + 12]
    written = operation[:4] == last.cycle  # or it was cut off, and this is an older record's block
    return last.operations == 1 and written and bool(operation[9] & _UNMOUNTED)


def records(log: bytes) -> Iterator[Record]:
    """All records whose headers are in the log, also those of the round before."""
    at = log.find(_MAGIC)
    while at >= 0:
        if at % BLOCK_BYTES == 0:
            yield record_at(log, at)
        at = log.find(_MAGIC, at + 1)


def record_at(log: bytes, at: int) -> Record:
    """The record whose header stands at ``at``."""
    buffer_bytes = int.from_bytes(log[at + 320 : at + 324], "big")
    header_blocks = max(1, -(-buffer_bytes // _HEADER_ROOM_BYTES)) if log[at + 11] & 2 else 1
    data_offset = (at + header_blocks * BLOCK_BYTES) % len(log)
    return Record(
        place=int.from_bytes(log[at + 16 : at + 24], "big"),
        cycle=log[at + 4 : at + 8],
        operations=int.from_bytes(log[at + 40 : at + 44], "big"),
        data_offset=data_offset,
    )
