"""What differs between two files that share their blocks, without reading them: where both lie in the same place.

The answer holds for files that nobody writes to and that both exist while it is used: a place that was freed may hold
anything. So the maps are asked for each time and never kept, an extent whose place means nothing counts as changed, and
so does everything where the two are not on one file system or the file system cannot say.
Source: Linux Documentation/filesystems/fiemap.rst, ioctl_ficlone(2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from lookaside.readable import Mapped, open_file
from soulpad.base.extents import PLACE_MEANS_NOTHING, UNWRITTEN, Extent
from soulpad.base.spans import Span, union

ZERO = None  # a place that reads as zeros: a hole, or blocks that were only reserved


class Placed(NamedTuple):
    """The bytes up to ``end``, which lie ``shift`` bytes further on the device than in the file; ZERO: they are zeros.
    ``known``: whether that tells anything."""

    end: int
    shift: int | None
    known: bool


def changed_spans(old: Path, new: Path) -> list[Span]:
    """As ``changed_between``, of two files by their paths. Raises OSError."""
    with open_file(old) as one, open_file(new) as other:
        return changed_between(one, other)


def changed_between(old: Mapped, new: Mapped) -> list[Span]:
    """Where ``new`` may differ from ``old``: all that does, and perhaps some that does not.

    Beyond the end of the shorter image all is changed. Both must be at rest.
    """
    size = new.size_bytes
    if old.volume != new.volume:
        return whole(size)
    maps = old.extents(), new.extents()
    if maps[0] is None or maps[1] is None:
        return whole(size)
    shared = min(size, old.size_bytes)
    spans = differing(placed(maps[0], shared), placed(maps[1], shared), shared)
    return union(spans, [(shared, size)])


def placed(found: Iterable[Extent], size: int) -> Iterator[Placed]:
    """The extents as spans that cover ``size`` bytes, holes included."""
    end = 0
    for extent in found:
        if extent.logical_bytes > end:
            yield Placed(extent.logical_bytes, ZERO, True)
        zero = bool(extent.flags & UNWRITTEN)
        known = not extent.flags & PLACE_MEANS_NOTHING
        _, end = extent.span
        yield Placed(end, ZERO if zero else extent.physical_bytes - extent.logical_bytes, known)
    if end < size:
        yield Placed(size, ZERO, True)


def differing(old: Iterator[Placed], new: Iterator[Placed], size: int) -> Iterator[Span]:
    """The spans below ``size`` at which two files do not lie in one place, both being covered up to there."""
    start = 0
    one, other = next(old, None), next(new, None)
    while one and other and start < size:
        end = min(one.end, other.end, size)
        if end > start and not (one.known and other.known and one.shift == other.shift):
            yield start, end
        start = max(start, end)
        one = next(old, None) if one.end <= start else one
        other = next(new, None) if other.end <= start else other


def whole(size: int) -> list[Span]:
    """All of a file."""
    return [(0, size)] if size else []
