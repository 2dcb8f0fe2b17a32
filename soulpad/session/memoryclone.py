"""A running machine's memory as of one moment, for which the machine stands still only shortly.

A clone of the whole file first writes out what is dirty, and the machine would stand still for that: seconds where
the guest goes round much memory. So the clone is made while the machine runs, of all that is not dirty. While it stands
still, what was changed since then is copied from the page cache into the clone's, and no stick is waited for.

What was changed is what is not written yet, and what lies in blocks of its own: a write to what the clone shares takes
new blocks. It is asked for in this order, so that what is being written meanwhile is in one of the two. What the guest
gave back (free page reporting) has become a hole, and is one in the copy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soulpad.base.extents import punch, shared_and_own
from soulpad.base.pagecache import unwritten
from soulpad.base.reflink import NOT_HERE, clone, clone_range
from soulpad.base.spans import Span, both, pieces, union, without
from soulpad.base.units import MIB

PIECE_BYTES = 16 * MIB  # a guest that touches new memory waits while one is cloned
COPY_BYTES = MIB


@dataclass(frozen=True)
class MemoryClone:
    """``left_out``: what is not in ``target`` yet, because it was dirty; None: the file system can only copy whole."""

    source: Path
    target: Path
    left_out: list[Span] | None


def begin(source: Path, target: Path) -> MemoryClone:
    """Clones what is not dirty of the memory of a machine that runs on. Raises OSError."""
    with both_open(source, target) as (memory, copy):
        length_bytes = os.fstat(memory).st_size
        os.truncate(copy, length_bytes)
        try:
            dirty = unwritten(memory, length_bytes)
            for start, end in pieces(without([(0, length_bytes)], dirty), PIECE_BYTES):
                clone_range(memory, copy, start, end - start)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            return MemoryClone(source, target, None)
    return MemoryClone(source, target, dirty)


def complete(begun: MemoryClone) -> list[Span]:
    """Makes the clone what the memory is now. The machine must stand still, with its block I/O drained. Returns what is
    a hole in the memory: ``make_holes`` has the time for that. Raises OSError."""
    if begun.left_out is None:
        clone(begun.source, begun.target)
        return []
    with both_open(begun.source, begun.target) as (memory, copy):
        length_bytes = os.fstat(memory).st_size
        dirty = unwritten(memory, length_bytes)
        shared, own = shared_and_own(memory)
        holes = without([(0, length_bytes)], union(shared, own, dirty))
        for start, end in pieces(without(union(dirty, own, begun.left_out), holes), COPY_BYTES):
            os.pwrite(copy, os.pread(memory, end - start, start), start)
    return holes


def make_holes(begun: MemoryClone, holes: list[Span]) -> None:
    """Of what the clone has and the memory had not, nothing stays. Raises OSError."""
    with both_open(begun.source, begun.target) as (_, copy):
        for start, end in both(holes, union(*shared_and_own(copy))) if holes else ():
            punch(copy, start, end - start)


@contextmanager
def both_open(source: Path, target: Path) -> Iterator[tuple[int, int]]:
    """The memory to read, the copy to write."""
    memory = os.open(source, os.O_RDONLY)
    try:
        copy = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield memory, copy
        finally:
            os.close(copy)
    finally:
        os.close(memory)
