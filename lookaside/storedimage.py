"""An image of a version, read here and there instead of being put together: only the chunks that are needed come."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from lookaside.assembling import part_of
from lookaside.domain import ChunkId
from lookaside.extentmap import UNIT_BYTES, ZEROS, Extent
from lookaside.source import ChunkSource
from lookaside.versions import WholeImage


@dataclass(frozen=True)
class StoredImage:
    """A ``Readable``, whose extents number ``chunks``. Reading raises what the source raises, and CorruptChunk."""

    image: WholeImage
    chunks: Sequence[ChunkId]
    source: ChunkSource

    @property
    def size_bytes(self) -> int:
        return self.image.image_bytes

    def data_from(self, position: int) -> int:
        """Holes are not told of."""
        return position

    def read_at(self, position: int, count: int) -> bytes:
        end = min(position + count, self.size_bytes)
        content = bytearray(max(0, end - position))
        for extent in self._between(position, end):
            start, stop = max(position, extent.start * UNIT_BYTES), min(end, extent.end * UNIT_BYTES)
            content[start - position : stop - position] = self._part(extent, start, stop)
        return bytes(content)

    def chunks_at(self, position: int, count: int) -> Iterator[ChunkId]:
        """The chunks that are needed to read so many bytes there, in order."""
        return (self.chunks[extent.chunk] for extent in self._between(position, position + count))

    def _between(self, position: int, end: int) -> Iterator[Extent]:
        """What is not zeros between two places."""
        first = max(0, bisect_right(self._starts, position // UNIT_BYTES) - 1)
        for extent in islice(self.image.extents, first, None):
            if extent.start * UNIT_BYTES >= end:
                return
            if extent.end * UNIT_BYTES > position and extent.chunk != ZEROS:
                yield extent

    def _part(self, extent: Extent, start: int, stop: int) -> bytes:
        """The bytes of the image from ``start`` to ``stop``, which the extent has."""
        begin = extent.start * UNIT_BYTES
        return part_of(self.source.get(self.chunks[extent.chunk]), extent, stop - begin)[start - begin :]

    @cached_property
    def _starts(self) -> list[int]:
        return [extent.start for extent in self.image.extents]
