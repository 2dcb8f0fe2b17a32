"""Images as a source: those of a checkpoint on the stick hold a version's chunks in plain, so nothing is stored twice.

Where a version has a chunk, its images are read, and so may be those of another moment: a block mostly stands where it
stood before. Whether it does is told by the chunk's id; an image that went on since then is a source that has less.
A chunk that a version has only in part, for later ones wrote over the rest, may stand in the images of the moment at
which it was new: where, is in the manifest that brought it. What other moments have of it is standing.py's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.manifest import ImageMap, Manifest
from lookaside.readable import Readable, opened
from lookaside.versions import Version, WholeImage
from soulpad.base.errors import SoulpadError


class Part(NamedTuple):
    """``units`` of a chunk from ``chunk_offset`` on stand in the image ``name`` from unit ``start`` on."""

    chunk_offset: int
    units: int
    name: str
    start: int


class Places(NamedTuple):
    """Where a version has its chunks: ``parts`` of each, in any order, and how many ``units`` it has."""

    parts: Mapping[ChunkId, Sequence[Part]]
    units: Mapping[ChunkId, int]


class ImagesSource:
    """A ``ChunkSource``: images of the names that ``places`` speak of, or the paths where they lie. The first places
    at which a chunk stands count."""

    def __init__(self, name: str, domain: Domain, images: Mapping[str, Readable | Path], *places: Places) -> None:
        self.name = name
        self._domain = domain
        self._images = images
        self._places = places

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk, put together from where its parts stand. Raises ChunkMissing, OSError."""
        for places in self._places:
            there = [part for part in places.parts.get(chunk_id, ()) if part.name in self._images]
            content = b"".join(map(self.read, covering(there, places.units.get(chunk_id, 0))))
            if content and self._domain.chunk_id(content) == chunk_id:
                return content
        raise ChunkMissing(f"chunk {chunk_id.hex()[:12]} is not in {self.name}, or not any more")

    def has_image(self, name: str) -> bool:
        """Whether there is an image of that name."""
        return name in self._images

    def read(self, part: Part) -> bytes:
        """What stands there, proved by nobody; fewer bytes where the image ends, none where there is no image or that
        part of it is damaged. Raises OSError."""
        try:
            with opened(self._images[part.name]) as image:
                return image.read_at(part.start * UNIT_BYTES, part.units * UNIT_BYTES)
        except (FileNotFoundError, SoulpadError):
            return b""


def image_sources(
    name: str, domain: Domain, places: Sequence[Places], moments: Iterable[Mapping[str, Readable]]
) -> list[ImagesSource]:
    """A source for the images of each moment."""
    return [ImagesSource(f"{name} ({number})", domain, images, *places) for number, images in enumerate(moments, 1)]


def places_of(version: Version) -> Places:
    """Where the version has its chunks."""
    return places_in([(version.images, version.chunks, version.chunk_units)])


def places_brought(chain: Iterable[Manifest]) -> Places:
    """Where each of the manifests has the chunks that it names: those that it brought, in full."""
    named = (({image.name: image for image in one.images}, one.chunks, one.chunk_units) for one in chain)
    return places_in(named)


Named = tuple[Mapping[str, WholeImage] | Mapping[str, ImageMap], Sequence[ChunkId], Sequence[int]]


def places_in(named: Iterable[Named]) -> Places:
    """Where images have the chunks that their extents number."""
    parts: dict[ChunkId, list[Part]] = defaultdict(list)
    units: dict[ChunkId, int] = {}
    for images, chunks, chunk_units in named:
        units.update(zip(chunks, chunk_units, strict=True))
        for name, image in images.items():
            for extent in image.extents:
                if extent.chunk != ZEROS:
                    parts[chunks[extent.chunk]].append(Part(extent.chunk_offset, extent.units, name, extent.start))
    return Places(parts, units)


def covering(parts: Sequence[Part], units: int) -> list[Part]:
    """Parts that together are all units of a chunk, in order; none where some are nowhere."""
    chosen: list[Part] = []
    covered = 0
    for part in sorted(parts):
        end = part.chunk_offset + part.units
        if part.chunk_offset <= covered < end:
            skipped = covered - part.chunk_offset
            chosen.append(part._replace(chunk_offset=covered, units=end - covered, start=part.start + skipped))
            covered = end
    return chosen if covered == units else []
