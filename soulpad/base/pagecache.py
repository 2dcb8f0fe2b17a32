"""Which parts of a file were changed in memory and are not on the disk yet.

Source: cachestat(2), Linux 6.5. What is counted is what the kernel's own writing back goes by, so that a store into
mapped memory counts from the fault that let it happen.
"""

from __future__ import annotations

import ctypes
import errno
import os

from soulpad.base.spans import Span, union
from soulpad.base.units import KIB

PAGE_BYTES = 4 * KIB
_CACHESTAT = 451  # no function of the C library's yet, and the same number on every architecture
_PARTS = 16

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    """``struct cachestat_range`` of linux/mman.h; of length 0 it ends with the file."""

    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class _Counts(ctypes.Structure):
    """``struct cachestat``: pages."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")]


def unwritten_bytes(descriptor: int) -> int:
    """How much of the file is only in memory, or on its way to the disk; 0 where the kernel cannot say."""
    try:
        counts = _counts(descriptor, 0, 0)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return 0
    return int(counts.dirty + counts.writeback) * PAGE_BYTES


def unwritten(descriptor: int, length_bytes: int) -> list[Span]:
    """Which parts those are. Raises OSError, of ENOSYS where the kernel cannot say."""
    found: list[Span] = []
    todo = [(0, length_bytes)] if length_bytes else []
    while todo:
        start, end = todo.pop()
        counts = _counts(descriptor, start, end - start)
        pages = -(-(end - start) // PAGE_BYTES)
        if pages in (counts.dirty, counts.writeback):
            found.append((start, end))
        elif counts.dirty or counts.writeback:
            step = -(-pages // _PARTS) * PAGE_BYTES
            todo += [(at, min(end, at + step)) for at in range(start, end, step)]
    return union(found)


def _counts(descriptor: int, offset_bytes: int, length_bytes: int) -> _Counts:
    counts = _Counts()
    asked = _Range(offset_bytes, length_bytes)
    if _libc.syscall(_CACHESTAT, descriptor, ctypes.byref(asked), ctypes.byref(counts), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return counts
