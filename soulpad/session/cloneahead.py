"""A running machine's memory and disks as of one moment, for which the machine stands still only shortly.

A clone of a whole file first writes out what is dirty, and then takes its time for each extent; the machine would stand
still for that: seconds where the guest goes round much memory or where its disk is in many pieces. So the clone is made
while the machine runs, of all that is not dirty. While it stands still, what was changed since then is brought after:
bytes of memory from the page cache into the clone's, and blocks of disks, which a guest writes past the page cache, by
cloning just those. No stick is waited for.

What was changed is what is not written yet, and what lies in blocks of its own: a write to what the clone shares takes
new blocks. It is asked for in this order, so that what is being written meanwhile is in one of the two. What the guest
gave back (free page reporting, discard) has become a hole, and is one in the clone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from soulpad.base.extents import punch, shared_and_own
from soulpad.base.pagecache import unwritten
from soulpad.base.reflink import NOT_HERE, clone, clone_range
from soulpad.base.spans import Span, both, pieces, union, without
from soulpad.base.units import MIB

PIECE_BYTES = 16 * MIB  # a guest that touches new memory, or its disk, waits while one is cloned
COPY_BYTES = MIB

Bring = Callable[[int, int, int, int], None]  # from an open file to an open file: from this byte on, so many


@dataclass(frozen=True)
class CloneAhead:
    """``left_out``: what is not in ``target`` yet, because it was dirty; None: the file system can only copy whole.
    ``holes``: what is one in ``source`` and may not be in ``target`` yet."""

    source: Path
    target: Path
    left_out: list[Span] | None
    holes: tuple[Span, ...] = ()


def begin(source: Path, target: Path) -> CloneAhead:
    """Clones what is not dirty of a file that a running machine writes. Raises OSError."""
    with both_open(source, target) as (original, copy):
        length_bytes = os.fstat(original).st_size
        os.truncate(copy, length_bytes)
        try:
            dirty = unwritten(original, length_bytes)
            for start, end in pieces(without([(0, length_bytes)], dirty), PIECE_BYTES):
                clone_range(original, copy, start, end - start)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            return CloneAhead(source, target, None)
    return CloneAhead(source, target, dirty)


def copied(original: int, copy: int, offset_bytes: int, length_bytes: int) -> None:
    """For memory: what is dirty of it is not written out for this. Raises OSError."""
    for start, end in pieces([(offset_bytes, offset_bytes + length_bytes)], COPY_BYTES):
        os.pwrite(copy, os.pread(original, end - start, start), start)


def complete(begun: CloneAhead, bring: Bring = clone_range) -> CloneAhead:
    """Makes the clone what the file is now, but for its holes: ``make_holes`` has the time for those. The machine must
    stand still, with its block I/O drained. Raises OSError."""
    if begun.left_out is not None:
        try:
            return brought_after(begun, begun.left_out, bring)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
    clone(begun.source, begun.target)
    return begun


def brought_after(begun: CloneAhead, left_out: list[Span], bring: Bring) -> CloneAhead:
    """Brings what was left out and what was changed since into the clone. Raises OSError."""
    with both_open(begun.source, begun.target) as (original, copy):
        length_bytes = os.fstat(original).st_size
        dirty = unwritten(original, length_bytes)
        shared, own = shared_and_own(original)
        every = [(0, length_bytes)]
        holes = without(every, union(shared, own, dirty))
        for start, end in both(without(union(dirty, own, left_out), holes), every):
            bring(original, copy, start, end - start)
    return replace(begun, holes=tuple(holes))


def make_holes(completed: CloneAhead) -> None:
    """Of what the clone has and the file had not, nothing stays. Raises OSError."""
    with both_open(completed.source, completed.target) as (_, copy):
        holes = completed.holes
        for start, end in both(holes, union(*shared_and_own(copy))) if holes else ():
            punch(copy, start, end - start)


@contextmanager
def both_open(source: Path, target: Path) -> Iterator[tuple[int, int]]:
    """The original to read, the copy to write."""
    original = os.open(source, os.O_RDONLY)
    try:
        copy = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield original, copy
        finally:
            os.close(copy)
    finally:
        os.close(original)
