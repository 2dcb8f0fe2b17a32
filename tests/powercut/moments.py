"""File contents that say of every block which moment it is from.

A block repeats one record: the file's kind, the block's place, and the number of the moment. Number 0 is a block that
was never written: zeros. A block that is not the one its first record promises is a mixture.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

BLOCK_BYTES = 4096

_RECORD = struct.Struct("<4sIQ")
Numbers = tuple[int, ...]  # the moment of each of a file's blocks

MIXED = -1


@lru_cache(maxsize=65536)
def block(kind: bytes, place: int, number: int) -> bytes:
    """A block's content; ``kind`` has four bytes."""
    return _RECORD.pack(kind, place, number) * (BLOCK_BYTES // _RECORD.size) if number else bytes(BLOCK_BYTES)


def number_of(kind: bytes, place: int, content: bytes) -> int:
    """The moment of a block; MIXED when it is not wholly of one moment, or of another place or file."""
    if not any(content[: _RECORD.size]):
        return 0 if content == block(kind, place, 0) else MIXED
    number = int(_RECORD.unpack_from(content)[2])
    return number if content == block(kind, place, number) else MIXED


def content_of(kind: bytes, numbers: Numbers) -> bytes:
    """A whole file."""
    return b"".join(block(kind, place, number) for place, number in enumerate(numbers))


def numbers_in(kind: bytes, path: Path) -> Numbers:
    """The moments of a file's blocks."""
    content = path.read_bytes()
    blocks = (content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES))
    return tuple(number_of(kind, place, each) for place, each in enumerate(blocks))
