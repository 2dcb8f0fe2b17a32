"""Extent maps: which part of which chunk each part of an image is. One form for disks, memory and small files.

Units are 4096 bytes, the guests' pages and blocks; the last unit of an image may be shorter. An extent says where its
units come from: zeros, or units of a chunk from ``chunk_offset`` on. A disk's extents are whole chunks; a memory's may
be single pages in the middle of a disk's chunk. A *whole* map covers its image: what no extent covers is zeros. A
*difference* replaces, in another map, just what its extents cover, zeros included.

Encoded, extents are unsigned LEB128 numbers: units since the end of the extent before; units; 0 for zeros, or else 1 +
the zigzag of (chunk - chunk of the extent before, -1 at first); and, not for zeros, ``chunk_offset``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lookaside.errors import DamagedManifest

UNIT_BYTES = 4096
ZEROS = -1


class Extent(NamedTuple):
    """``start``, ``units``: where in the image. ``chunk``: number in the list of chunks, or ZEROS."""

    start: int
    units: int
    chunk: int
    chunk_offset: int = 0

    @property
    def end(self) -> int:
        return self.start + self.units

    def part(self, start: int, end: int) -> Extent:
        """What of it lies between ``start`` and ``end``, which must be some of it."""
        first = max(self.start, start)
        skipped = 0 if self.chunk == ZEROS else first - self.start
        return Extent(first, min(self.end, end) - first, self.chunk, self.chunk_offset + skipped)


def units_of(image_bytes: int) -> int:
    """How many units an image of so many bytes has."""
    return -(-image_bytes // UNIT_BYTES)


def overlaid(base: Iterable[Extent], difference: Iterable[Extent], image_units: int) -> Iterator[Extent]:
    """The whole map that ``difference`` makes of the whole map ``base``, cut to ``image_units``; both sorted."""
    rest = iter(base)
    below = next(rest, None)
    for above in difference:
        while below and below.start < above.start:
            yield from clipped(below, 0, min(above.start, image_units))
            below = below.part(above.start, below.end) if below.end > above.start else next(rest, None)
        while below and below.end <= above.end:
            below = next(rest, None)
        if below and below.start < above.end:
            below = below.part(above.end, below.end)
        if above.chunk != ZEROS:
            yield from clipped(above, 0, image_units)
    while below:
        yield from clipped(below, 0, image_units)
        below = next(rest, None)


def joined(extents: Iterable[Extent]) -> Iterator[Extent]:
    """The same with neighbours made one, where each goes on in the chunk where the one before ends."""
    last: Extent | None = None
    for extent in extents:
        if last and follows(last, extent):
            last = last._replace(units=last.units + extent.units)
            continue
        if last:
            yield last
        last = extent
    if last:
        yield last


def follows(one: Extent, other: Extent) -> bool:
    """Whether two extents are one."""
    on = other.chunk == ZEROS or other.chunk_offset == one.chunk_offset + one.units
    return one.end == other.start and one.chunk == other.chunk and on


def clipped(extent: Extent, start: int, end: int) -> Iterator[Extent]:
    """What of the extent lies between ``start`` and ``end``, if anything."""
    if extent.start < end and extent.end > start:
        yield extent.part(start, end)


def encode_extents(extents: Iterable[Extent]) -> bytes:
    """The bytes of sorted extents that do not overlap."""
    out = bytearray()
    end, chunk = 0, -1
    for extent in extents:
        put_number(out, extent.start - end)
        put_number(out, extent.units)
        if extent.chunk == ZEROS:
            put_number(out, 0)
        else:
            put_number(out, 1 + zigzag(extent.chunk - chunk))
            put_number(out, extent.chunk_offset)
            chunk = extent.chunk
        end = extent.end
    return bytes(out)


def decode_extents(encoded: bytes, image_units: int, chunk_units: Sequence[int]) -> list[Extent]:
    """The extents, each in the image and in a chunk, whose sizes ``chunk_units`` says. Raises DamagedManifest."""
    extents: list[Extent] = []
    end, chunk, position = 0, -1, 0
    while position < len(encoded):
        gap, position = number_at(encoded, position)
        units, position = number_at(encoded, position)
        source, position = number_at(encoded, position)
        offset = 0
        if source:
            chunk += unzigzag(source - 1)
            offset, position = number_at(encoded, position)
            if not 0 <= chunk < len(chunk_units) or offset + units > chunk_units[chunk]:
                raise damaged_extents()
        if not units or end + gap + units > image_units:
            raise damaged_extents()
        extents.append(Extent(end + gap, units, chunk if source else ZEROS, offset))
        end += gap + units
    return extents


def put_number(out: bytearray, number: int) -> None:
    """Appends an unsigned LEB128 number."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def number_at(encoded: bytes, position: int) -> tuple[int, int]:
    """The number at ``position``, below 2**63, and where the next one stands. Raises DamagedManifest."""
    number = 0
    for shift in range(0, 63, 7):
        if position >= len(encoded):
            break
        byte = encoded[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise damaged_extents()


def zigzag(number: int) -> int:
    """Small numbers of either sign as small numbers without one."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1


def damaged_extents() -> DamagedManifest:
    return DamagedManifest("A version's manifest is damaged: an extent leads nowhere.", "use another copy of it")
