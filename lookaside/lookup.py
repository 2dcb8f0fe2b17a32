"""Looking pages up: where a page of memory stands in chunks that the version has anyhow, those of its disks above all.

A guest's page cache is its disk's blocks, so most new pages of a memory are on the disk already. Candidates come from
page ids, which are a hint; each is proved by reading the page and comparing its full id (Domain.page_id, 16 bytes).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import UNIT_BYTES, ZEROS, Extent
from lookaside.pageids import PageIds
from lookaside.readable import Readable


class Place(NamedTuple):
    """A page's place: ``offset`` units into a chunk of ``chunk_units``."""

    chunk_id: ChunkId
    chunk_units: int
    offset: int


@dataclass(frozen=True)
class KnownImage:
    """An image whose pages are in chunks: its content in ``image``, where they are in ``extents`` (all of them, sorted,
    without zeros), which number ``chunks`` of so many ``chunk_units``. ``is_stored``: whether a chunk is still where
    versions are; one that was lost, or is about to go, is not led to."""

    domain: Domain
    image: Readable
    ids: PageIds
    extents: Sequence[Extent]
    chunks: Sequence[ChunkId]
    chunk_units: Sequence[int]
    is_stored: Callable[[ChunkId], bool]

    def find(self, wanted: Mapping[int, bytes]) -> dict[bytes, Place]:
        """The places of pages out of ``wanted`` (short id -> page id), each proved. Raises OSError."""
        found: dict[bytes, Place] = {}
        for short, number in self.ids.find(wanted.keys()):
            page_id = wanted[short]
            place = None if page_id in found else self.place(number)
            if place and self.is_stored(place.chunk_id) and self.has(number, page_id):
                found[page_id] = place
        return found

    def stays(self, number: int) -> bool:
        """Whether a page can be had where the image's map leads."""
        place = self.place(number)
        return place is None or self.is_stored(place.chunk_id)

    def has(self, number: int, page_id: bytes) -> bool:
        """Whether the page of that number has that id, by reading it."""
        return self.domain.page_id(self.content(number * UNIT_BYTES, UNIT_BYTES)) == page_id

    def content(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` on; fewer at the image's end."""
        return self.image.read_at(offset, count)

    def place(self, number: int) -> Place | None:
        """Where a page is; None: nowhere, for it is zeros."""
        index = bisect_right(self._starts, number) - 1
        if index < 0 or number >= self.extents[index].end or self.extents[index].chunk == ZEROS:
            return None
        extent = self.extents[index]
        offset = extent.chunk_offset + number - extent.start
        return Place(self.chunks[extent.chunk], self.chunk_units[extent.chunk], offset)

    @cached_property
    def _starts(self) -> list[int]:
        return [extent.start for extent in self.extents]
