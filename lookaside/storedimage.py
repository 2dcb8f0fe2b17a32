"""An image of a version, read here and there instead of being put together: only the chunks that are needed come."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        first = max(0, bisect_right(self._starts, position // UNIT_BYTES) - 1)
        for extent in self.image.extents[first:]:
            if extent.start * UNIT_BYTES >= end:
                break
            start, stop = max(position, extent.start * UNIT_BYTES), min(end, extent.end * UNIT_BYTES)
            if start < stop and extent.chunk != ZEROS:
                content[start - position : stop - position] = self._part(extent, start, stop)
        return bytes(content)

    def _part(self, extent: Extent, start: int, stop: int) -> bytes:
        """The bytes of the image from ``start`` to ``stop``, which the extent has."""
        begin = extent.start * UNIT_BYTES
        return part_of(self.source.get(self.chunks[extent.chunk]), extent, stop - begin)[start - begin :]

    @cached_property
    def _starts(self) -> list[int]:
        return [extent.start for extent in self.image.extents]
