"""Assembling: an image from its extents and a source of chunks. Zeros become holes, also where something else was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk
from lookaside.extentmap import UNIT_BYTES, ZEROS, Extent
from lookaside.readahead import ReadAhead
from lookaside.source import ChunkSource
from soulpad.base.extents import punch


class Target(NamedTuple):
    """An image that is to be: where, how large, and its extents."""

    path: Path
    image_bytes: int
    extents: Iterable[Extent]


class Part(NamedTuple):
    """An extent, and the open file that it belongs to."""

    chunk: int
    extent: Extent
    descriptor: int
    image_bytes: int


PutBefore = Callable[[list[Part]], list[Part]]  # writes some of the parts, sorted by chunks; gives back the others


def assemble(
    target: Path, image_bytes: int, extents: Iterable[Extent], chunks: Sequence[ChunkId], source: ChunkSource
) -> None:
    """As ``assemble_together``, of one image."""
    assemble_together([Target(target, image_bytes, extents)], chunks, source)


def assemble_together(
    targets: Iterable[Target], chunks: Sequence[ChunkId], source: ChunkSource, put_before: PutBefore | None = None
) -> None:
    """Writes the targets' extents into their files, which are made if they are not there, and gives them their sizes.
    What no extent covers stays as it was: zeros in a new file. Each chunk is asked for once, also where a memory and a
    disk have parts of it. ``put_before``: what needs no chunks. Nothing is made durable.

    Raises ChunkMissing or what the source raises, and OSError. A file that was being made is then of no use.
    """
    with ExitStack() as cleanup:
        parts: list[Part] = []
        for target in targets:
            descriptor = os.open(target.path, os.O_RDWR | os.O_CREAT, 0o600)
            cleanup.callback(os.close, descriptor)
            os.ftruncate(descriptor, target.image_bytes)
            parts += (Part(extent.chunk, extent, descriptor, target.image_bytes) for extent in target.extents)
        parts.sort()
        if put_before:
            parts = put_before(parts)
        needed = (chunk for chunk, _ in groupby(parts, by_chunk) if chunk != ZEROS)
        held = ReadAhead(source, (chunks[chunk] for chunk in needed))
        for chunk, some in groupby(parts, by_chunk):
            content = None if chunk == ZEROS else held.get(chunks[chunk])
            for part in some:
                put_extent(part.descriptor, part.extent, content, part.image_bytes)


by_chunk = attrgetter("chunk")


def put_extent(descriptor: int, extent: Extent, content: bytes | None, image_bytes: int) -> None:
    """Writes one extent, whose chunk has ``content``; None: zeros. Raises CorruptChunk, OSError."""
    start = extent.start * UNIT_BYTES
    count = min(extent.end * UNIT_BYTES, image_bytes) - start
    if content is None:
        punch(descriptor, start, count)
    else:
        write_all(descriptor, part_of(content, extent, count), start)


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
