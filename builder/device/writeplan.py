"""What of an image must reach the stick: pure arithmetic on byte ranges.

An image is mostly holes, and a stick is slow: only data are copied. What lies on the stick where the image has a
hole stays there, so each hole is asked whether anybody may read it:

- in a solid region (GRUB's core image, the LUKS header, where an older stick's key slots may lie) all are zeroed;
- in another region (a partition with a file system) a hole before the last data is data that happens to be zero: it
  is zeroed. The hole behind the last data is free space: its first and last MiB are zeroed, so that no signature of
  an older file system is found there, and the rest is left;
- elsewhere, in the payload of the parcels partition, it is left: it is the unused space of an encrypted file system,
  which nobody reads before writing it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from soulpad.base.units import MIB, round_up

# Multiple of every sector size there is, and of the page; extents of common file systems are multiples of it too.
ALIGNMENT_BYTES = 4096
EDGE_BYTES = MIB


class Span(NamedTuple):
    """The bytes from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def length_bytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class WritePlan:
    """Disjoint and ascending. ``left_bytes``: holes of the image that keep what the stick held."""

    copies: tuple[Span, ...]
    zeros: tuple[Span, ...]
    left_bytes: int

    @property
    def total_bytes(self) -> int:
        return sum(span.length_bytes for span in (*self.copies, *self.zeros))


def data_spans(descriptor: int, size_bytes: int) -> Iterator[Span]:
    """The ranges of an open file that are not holes; see lseek(2), SEEK_DATA."""
    position = 0
    while position < size_bytes:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: no data from here to the end
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield Span(start, min(position, size_bytes))


def plan(data: Iterable[Span], solid: Iterable[Span], regions: Iterable[Span], body: Span) -> WritePlan:
    """What to copy and what to zero within ``body``.

    ``solid`` and ``regions``: where holes matter, as above. ``body``: what is written at all; the partition tables
    at both ends are not part of it.
    """
    copies = merged(clipped(widened(data), body))
    zeros = [hole for region in clipped(solid, body) for hole in holes(region, clipped(copies, region))]
    for region in clipped(regions, body):
        zeros += _zeros_of(region, clipped(copies, region))
    zeros = merged(zeros)
    written = sum(span.length_bytes for span in (*copies, *zeros))
    return WritePlan(tuple(copies), tuple(zeros), body.length_bytes - written)


def widened(spans: Iterable[Span]) -> Iterator[Span]:
    """Each span out to whole alignment units: what is added is zero in the image."""
    for span in spans:
        yield Span(span.start // ALIGNMENT_BYTES * ALIGNMENT_BYTES, round_up(span.end, ALIGNMENT_BYTES))


def clipped(spans: Iterable[Span], limits: Span) -> list[Span]:
    """What of the spans lies within ``limits``."""
    cut = (Span(max(span.start, limits.start), min(span.end, limits.end)) for span in spans)
    return [span for span in cut if span.start < span.end]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes, ascending, with neighbours joined."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def pieces(spans: Iterable[Span], piece_bytes: int) -> Iterator[Span]:
    """The spans cut into pieces of at most ``piece_bytes``."""
    for span in spans:
        for start in range(span.start, span.end, piece_bytes):
            yield Span(start, min(start + piece_bytes, span.end))


def holes(region: Span, data: Iterable[Span]) -> Iterator[Span]:
    """What of a region its ascending ``data`` do not cover."""
    position = region.start
    for span in data:
        if position < span.start:
            yield Span(position, span.start)
        position = span.end
    if position < region.end:
        yield Span(position, region.end)


def _zeros_of(region: Span, data: list[Span]) -> Iterator[Span]:
    """The holes of a region with a file system that must read as zeros."""
    for hole in holes(region, data):
        if hole.end < region.end:
            yield hole
        else:
            edges = (Span(hole.start, hole.start + EDGE_BYTES), Span(hole.end - EDGE_BYTES, hole.end))
            yield from clipped(edges, hole)
