"""Cutting on a grid: images into chunks at fixed places, so that equal images have equal chunks, whoever cuts them.

Content-defined cuts save a tenth where much was moved about and nothing on an ordinary day, and their places tell an
observer about the content. Zeros are no chunks. Why a chunk is so large: docs/decisions/0011-chunks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from lookaside.domain import ChunkId
from lookaside.extentmap import UNIT_BYTES
from lookaside.readable import Readable
from soulpad.base.spans import Span, union

CHUNK_BYTES = 1 << 20
CHUNK_UNITS = CHUNK_BYTES // UNIT_BYTES
_ZEROS = bytes(CHUNK_BYTES)


class ChunkStore(Protocol):
    """Where a version's chunks are to be."""

    def has(self, chunk_id: ChunkId) -> bool:
        """Whether it is there, or was put there, and will stay until the version is committed."""

    def keep(self, chunk_id: ChunkId, content: bytes) -> None:
        """Stores a chunk, unless it is there."""


class Piece(NamedTuple):
    """Part of an image: its first unit, how many, and its content, or None where all of it is zeros."""

    start: int
    units: int
    content: bytes | None


def pieces(image: Readable, spans: Iterable[Span]) -> Iterator[Piece]:
    """The chunks of ``image`` that ``spans`` touch, in order. Holes are not read. Raises OSError."""
    for start, end in on_grid(spans, image.size_bytes):
        yield from pieces_between(image, start, end)


def on_grid(spans: Iterable[Span], image_bytes: int, grid_bytes: int = CHUNK_BYTES) -> list[Span]:
    """Spans grown to the places where chunks begin and end, within the image."""
    return union(
        (start // grid_bytes * grid_bytes, min(-(-end // grid_bytes) * grid_bytes, image_bytes))
        for start, end in spans
        if start < min(end, image_bytes)
    )


def pieces_between(image: Readable, position: int, stop: int) -> Iterator[Piece]:
    """The pieces between two places where chunks begin, or the image ends."""
    while position < stop:
        data = next_data(image, position, stop)
        if data > position:
            yield Piece(position // UNIT_BYTES, units_between(position, data), None)
            position = data
            continue
        end = min(position + CHUNK_BYTES, stop)
        content = image.read_at(position, end - position)
        yield Piece(position // UNIT_BYTES, units_between(position, end), content if any_set(content) else None)
        position = end


def next_data(image: Readable, position: int, end: int) -> int:
    """Where the first chunk from ``position`` on begins that is not all hole; ``end`` if there is none before."""
    found = image.data_from(position)
    return min(found // CHUNK_BYTES * CHUNK_BYTES, end) if found >= position + CHUNK_BYTES else position


def units_between(start: int, end: int) -> int:
    return -(-(end - start) // UNIT_BYTES)


def any_set(content: bytes) -> bool:
    """Whether any byte is not zero."""
    return content != _ZEROS[: len(content)]
