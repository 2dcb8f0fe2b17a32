"""Images as a source: those of a checkpoint on the stick hold a version's chunks in plain, so nothing is stored twice.

Which chunk stands where is known from that version's manifest. Whether it still does is told by its id when it is read:
an image that went on since then is a source that has less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.media.trees import read_fully
from lookaside.versions import Version


class _Part(NamedTuple):
    """``units`` of a chunk from ``chunk_offset`` on stand in ``path`` from unit ``start`` on."""

    chunk_offset: int
    units: int
    path: Path
    start: int


class ImagesSource:
    """A ``ChunkSource`` of the chunks that ``version`` says are in ``images``: its image names, and where they lie."""

    def __init__(self, name: str, domain: Domain, version: Version, images: Mapping[str, Path]) -> None:
        self.name = name
        self._domain = domain
        self._units = dict(zip(version.chunks, version.chunk_units, strict=True))
        self._parts: dict[ChunkId, list[_Part]] = defaultdict(list)
        for image_name, image in version.images.items():
            if image_name in images:
                for extent in image.extents:
                    if extent.chunk != ZEROS:
                        part = _Part(extent.chunk_offset, extent.units, images[image_name], extent.start)
                        self._parts[version.chunks[extent.chunk]].append(part)

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk, put together from where its parts stand. Raises ChunkMissing, OSError."""
        parts = covering(self._parts.get(chunk_id, ()), self._units.get(chunk_id, 0))
        content = b"".join(read_part(part) for part in parts)
        if not content or self._domain.chunk_id(content) != chunk_id:
            raise ChunkMissing(f"chunk {chunk_id.hex()[:12]} is not in {self.name}, or not any more")
        return content


def covering(parts: list[_Part] | tuple[()], units: int) -> list[_Part]:
    """Parts that together are all units of a chunk, in order; none where some are nowhere."""
    chosen: list[_Part] = []
    covered = 0
    for part in sorted(parts):
        end = part.chunk_offset + part.units
        if part.chunk_offset <= covered < end:
            skipped = covered - part.chunk_offset
            chosen.append(part._replace(chunk_offset=covered, units=end - covered, start=part.start + skipped))
            covered = end
    return chosen if covered == units else []


def read_part(part: _Part) -> bytes:
    """Its bytes; fewer where the image ends, none where there is no image. Raises OSError."""
    try:
        with part.path.open("rb", buffering=0) as file:
            return read_fully(file.fileno(), part.start * UNIT_BYTES, part.units * UNIT_BYTES)
    except FileNotFoundError:
        return b""
