"""What a block device was told, in order: writes with their data, and flushes.

The log is a file of records. A record is a header (little-endian: offset, then length, both in bytes) and as many bytes
of data; a flush is a record without data. A *position* is a number of bytes of this file: what was logged before it
was told before it.
"""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = struct.Struct("<QQ")


@dataclass(frozen=True)
class Entry:
    """A write of ``length_bytes`` to ``offset_bytes`` of the device, or a flush (no length). ``data_at``: where the
    data begins in the log."""

    offset_bytes: int
    length_bytes: int
    data_at: int

    @property
    def is_flush(self) -> bool:
        return self.length_bytes == 0

    @property
    def end(self) -> int:
        """The position behind this entry."""
        return self.data_at + self.length_bytes


class LogWriter:
    """Appends to a new log. An entry is in the file, for others to see, when the call returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)

    def write(self, offset_bytes: int, data: bytes | memoryview) -> None:
        os.writev(self._file.fileno(), [HEADER.pack(offset_bytes, len(data)), data])

    def flush(self) -> None:
        os.write(self._file.fileno(), HEADER.pack(0, 0))


class BlockLog:
    """A log that is complete, to be read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.entries: Sequence[Entry] = tuple(self._entries())

    def data(self, at: int, length_bytes: int) -> bytes:
        return self._content[at : at + length_bytes]

    def count_before(self, position: int) -> int:
        """How many entries were logged before a position."""
        return bisect_right(self.entries, position, key=lambda entry: entry.end)

    def position_after(self, count: int) -> int:
        """Where so many entries end."""
        return self.entries[count - 1].end if count else 0

    def _entries(self) -> list[Entry]:
        found: list[Entry] = []
        at = 0
        while at < len(self._content):
            offset_bytes, length_bytes = HEADER.unpack_from(self._content, at)
            found.append(Entry(offset_bytes, length_bytes, at + HEADER.size))
            at = found[-1].end
        return found


def position(path: Path) -> int:
    """The present end of a log that is being written."""
    return path.stat().st_size
