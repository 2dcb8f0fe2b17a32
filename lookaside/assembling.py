"""Assembling: an image from its extents and a source of chunks. Zeros become holes, also where something else was."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk
from lookaside.extentmap import UNIT_BYTES, ZEROS, Extent
from lookaside.source import ChunkSource
from soulpad.base.extents import punch

LATELY_USED_CHUNKS = 64  # 8 MiB: memory's extents name the same chunk again and again


class LatelyUsed:
    """The chunks that were asked for last, in memory."""

    def __init__(self, source: ChunkSource) -> None:
        self._source = source
        self._kept: OrderedDict[ChunkId, bytes] = OrderedDict()

    def get(self, chunk_id: ChunkId) -> bytes:
        """As the source gives it."""
        if chunk_id not in self._kept:
            self._kept[chunk_id] = self._source.get(chunk_id)
            if len(self._kept) > LATELY_USED_CHUNKS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(chunk_id)
        return self._kept[chunk_id]


def assemble(
    target: Path, image_bytes: int, extents: Iterable[Extent], chunks: Sequence[ChunkId], source: ChunkSource
) -> None:
    """Writes ``extents`` into ``target``, which is made if it is not there, and gives it its size. What no extent
    covers stays as it was: zeros in a new file. Nothing is made durable.

    Raises ChunkMissing or what the source raises, and OSError. A file that was being made is then of no use.
    """
    held = LatelyUsed(source)
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, image_bytes)
        for extent in extents:
            start = extent.start * UNIT_BYTES
            end = min(extent.end * UNIT_BYTES, image_bytes)
            if extent.chunk == ZEROS:
                punch(descriptor, start, end - start)
            else:
                write_all(descriptor, part_of(held.get(chunks[extent.chunk]), extent, end - start), start)
    finally:
        os.close(descriptor)


def part_of(content: bytes, extent: Extent, count: int) -> bytes:
    """The ``count`` bytes of a chunk that an extent means; raises CorruptChunk where the chunk has fewer."""
    start = extent.chunk_offset * UNIT_BYTES
    part = content[start : start + count]
    if len(part) != count:
        raise CorruptChunk("A chunk is shorter than its version says.", "use another copy of the version")
    return part


def write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Writes ``content`` at ``offset``, whole. Raises OSError."""
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
