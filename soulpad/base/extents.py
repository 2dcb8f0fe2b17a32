"""Where a file's bytes lie on its file system: the extents that a reflink must go through one by one.

Source: Linux Documentation/filesystems/fiemap.rst; fallocate(2) on FALLOC_FL_UNSHARE_RANGE.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from soulpad.base.spans import Span, union

FIEMAP = 0xC020660B
UNSHARE = 0x40
PUNCH_AND_KEEP_SIZE = 0x2 | 0x1
_HEAD = struct.Struct("=QQLLLL")  # start, length, flags, mapped extents, room for extents, reserved
_EXTENT = struct.Struct("=QQQQQLLLL")  # logical, physical, length, 2 reserved, flags, 3 reserved
_AT_ONCE = 512
_LAST = 0x1
_SYNC = 0x1
_NOT_YET = 0x4  # set aside, no block chosen
UNWRITTEN = 0x800  # blocks that are set aside and read as zeros
# Flags of extents whose place does not tell what is read there: UNKNOWN, DELALLOC, ENCODED, ENCRYPTED, NOT_ALIGNED,
# INLINE, TAIL (fiemap.rst).
PLACE_MEANS_NOTHING = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400
_SHARED = 0x2000
_TO_THE_END = (1 << 64) - 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate64.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Extent(NamedTuple):
    """``length_bytes`` of a file from ``logical_bytes`` on lie at ``physical_bytes`` of its file system's device.
    ``flags``: FIEMAP_EXTENT_*."""

    logical_bytes: int
    physical_bytes: int
    length_bytes: int
    flags: int = 0

    @property
    def span(self) -> Span:
        return self.logical_bytes, self.logical_bytes + self.length_bytes


def extent_count(path: Path) -> int:
    """How many extents the file has; a run of blocks that is shared in part counts once for each part. What is dirty
    in the page cache is counted as it was before. Raises OSError where the file system cannot say."""
    with path.open("rb") as file:
        head = bytearray(_HEAD.pack(0, _TO_THE_END, 0, 0, 0, 0))
        fcntl.ioctl(file.fileno(), FIEMAP, head)
    return int(_HEAD.unpack(head)[3])


def extents_by_window(path: Path, window_bytes: int) -> Counter[int]:
    """How many extents begin in each window of the file: the window's number -> count."""
    return Counter(extent.logical_bytes // window_bytes for extent in extents(path))


def extents(path: Path, *, write_first: bool = False) -> Iterator[Extent]:
    """As ``extents_of``, of the file at ``path``."""
    with path.open("rb") as file:
        yield from extents_of(file.fileno(), write_first=write_first)


def extents_of(descriptor: int, *, write_first: bool = False) -> Iterator[Extent]:
    """Where a file's bytes lie, in the order of the file, without its holes. What is dirty in the page cache is told as
    it was before, unless it is to be written first. Raises OSError where the file system cannot say."""
    position, last = 0, False
    while not last:
        room = bytearray(_HEAD.size + _AT_ONCE * _EXTENT.size)
        _HEAD.pack_into(room, 0, position, _TO_THE_END - position, _SYNC if write_first else 0, 0, _AT_ONCE, 0)
        fcntl.ioctl(descriptor, FIEMAP, room)
        mapped = _HEAD.unpack_from(room)[3]
        last = mapped == 0
        for index in range(mapped):
            logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(room, _HEAD.size + index * _EXTENT.size)
            yield Extent(logical, physical, length, flags)
            position, last = logical + length, bool(flags & _LAST)


def shared_and_own(descriptor: int) -> tuple[list[Span], list[Span]]:
    """Which parts of the file lie in blocks that it shares with another file, and which in blocks of its own. The rest
    are zeros. Of what is dirty in the page cache this tells nothing: its blocks may be old, shared, or missing."""
    shared: list[Span] = []
    own: list[Span] = []
    for extent in extents_of(descriptor):
        if not extent.flags & (_NOT_YET | UNWRITTEN):
            (shared if extent.flags & _SHARED else own).append(extent.span)
    return union(shared), union(own)


def punch(descriptor: int, offset_bytes: int, length_bytes: int) -> None:
    """Makes a range of a file a hole. Raises OSError."""
    _fallocate(descriptor, PUNCH_AND_KEEP_SIZE, offset_bytes, length_bytes)


def unshare(descriptor: int, offset_bytes: int, length_bytes: int) -> None:
    """Gives what is shared in a range of a file blocks of its own, next to each other as far as there is room. The
    contents do not change, whoever has them mapped. On the disk when it returns. Raises OSError."""
    _fallocate(descriptor, UNSHARE, offset_bytes, length_bytes)


def _fallocate(descriptor: int, mode: int, offset_bytes: int, length_bytes: int) -> None:
    if _libc.fallocate64(descriptor, mode, offset_bytes, length_bytes) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
