"""Older images as a source of chunks, without an index: a block mostly stands where it stood before.

Where the version that is wanted has a chunk, the older image is read at the same place, and asked for its id. What is
another chunk there counts as missing: nothing else was promised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.readable import Readable
from lookaside.versions import Version
from soulpad.base.errors import SoulpadError, StoreDamaged


class Place(NamedTuple):
    """Bytes of the image ``name``."""

    name: str
    position: int
    length_bytes: int


class Seed:
    """A ``ChunkSource``: older images of the names that ``places`` speaks of."""

    def __init__(
        self, name: str, domain: Domain, images: Mapping[str, Readable], places: Mapping[ChunkId, Place]
    ) -> None:
        self.name = name
        self._domain = domain
        self._images = images
        self._places = places

    def get(self, chunk_id: ChunkId) -> bytes:
        """Raises ChunkMissing; StoreDamaged when the images cannot be read."""
        place = self._places.get(chunk_id)
        image = self._images.get(place.name) if place else None
        if place is None or image is None:
            raise ChunkMissing(f"chunk {chunk_id.hex()[:12]} has no place in {self.name}")
        try:
            content = image.read_at(place.position, place.length_bytes)
        except OSError as error:
            raise StoreDamaged(f"{self.name} cannot be read: {error.strerror}", "others are asked") from None
        except SoulpadError:
            raise ChunkMissing(f"a part of {self.name} cannot be read") from None
        if len(content) != place.length_bytes or self._domain.chunk_id(content) != chunk_id:
            raise ChunkMissing(f"{self.name} has something else there")
        return content


def places_of(version: Version) -> dict[ChunkId, Place]:
    """Where the version has its chunks: of each the first place at which it stands whole."""
    found: dict[ChunkId, Place] = {}
    for name, image in version.images.items():
        for extent in image.extents:
            if extent.chunk != ZEROS and extent.chunk_offset == 0 and extent.units == version.chunk_units[extent.chunk]:
                position = extent.start * UNIT_BYTES
                count = min(extent.units * UNIT_BYTES, image.image_bytes - position)
                found.setdefault(version.chunks[extent.chunk], Place(name, position, count))
    return found


def seeds(name: str, domain: Domain, version: Version, moments: Iterable[Mapping[str, Readable]]) -> list[Seed]:
    """A source for each set of older images."""
    places = places_of(version)
    return [Seed(f"{name} ({number})", domain, images, places) for number, images in enumerate(moments, 1)]
