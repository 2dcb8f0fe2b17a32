"""Outlining: while a version's chunks are stored, their outlines are taken note of, and become an image of it.

Later versions keep the outlines that the version before them had, for their chunks still lead there. So that they do
not grow in number for ever, MOST_KEPT of them stay: the first, for a parcel's first version brings most of its chunks,
and the newest. A chunk whose outline is in none of them is asked for whole.
"""

from __future__ import annotations

from collections.abc import Callable
from tempfile import SpooledTemporaryFile

from lookaside.cutting import ChunkStore
from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import units_of
from lookaside.making import VersionMaker
from lookaside.outlines import encoded_head, image_name, is_outlines, number_in, page_ids_of
from lookaside.readable import Readable
from lookaside.versions import Version

MOST_KEPT = 64
IN_MEMORY_BYTES = 32 << 20  # of 8 GiB of new content; what is more goes into a temporary file


class Outlining:
    """A ``ChunkStore`` over another one, which notes the outlines of what is new to a parcel, also where the store has
    it from elsewhere. ``before``: a version whose outlines the new one takes over; ``is_base``: it is a difference
    against that."""

    def __init__(self, domain: Domain, store: ChunkStore, before: Version | None = None, is_base: bool = False) -> None:
        self._domain = domain
        self._store = store
        self._before = before
        self._is_base = is_base
        self._earlier = kept(before, store.has) if before else []
        self._known = frozenset(before.chunks if before and self._earlier else ())
        self._chunks: dict[ChunkId, int] = {}
        self._page_ids = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (it lasts as long as this does)
        self._is_noting = True

    def has(self, chunk_id: ChunkId) -> bool:
        """As the store has it."""
        return self._store.has(chunk_id)

    def keep(self, chunk_id: ChunkId, content: bytes) -> None:
        """Raises what the store raises."""
        self._store.keep(chunk_id, content)
        if self._is_noting and chunk_id not in self._known and chunk_id not in self._chunks:
            self._note(chunk_id, content)

    def add_to(self, maker: VersionMaker, number: int) -> None:
        """Adds the outlines to the version of that number, whose maker stored into this, as the last of its images.
        Raises what the store raises, and OSError."""
        self._is_noting = False  # there are no outlines of outlines
        if self._before:
            for name in self._earlier:
                maker.add_as_before(name, self._before, is_base=self._is_base)
        if self._chunks:
            maker.add_aside(image_name(number), self._image())

    def _note(self, chunk_id: ChunkId, content: bytes) -> None:
        """Notes one outline; where there is no room for them, there are none."""
        try:
            self._page_ids.write(page_ids_of(self._domain, content))
            self._chunks[chunk_id] = units_of(len(content))
        except OSError:
            self._is_noting = False
            self._chunks.clear()

    def _image(self) -> Readable:
        return OutlinesImage(encoded_head(self._domain, self._chunks.items()), self._page_ids)


class OutlinesImage:
    """A ``Readable`` of outlines that were noted."""

    def __init__(self, head: bytes, page_ids: SpooledTemporaryFile[bytes]) -> None:
        self._head = head
        self._page_ids = page_ids
        self.size_bytes = len(head) + page_ids.seek(0, 2)

    def data_from(self, position: int) -> int:
        return position

    def read_at(self, position: int, count: int) -> bytes:
        part = self._head[position : position + count]
        self._page_ids.seek(max(0, position - len(self._head)))
        return part + self._page_ids.read(count - len(part))


def kept(version: Version, is_stored: Callable[[ChunkId], bool]) -> list[str]:
    """The outlines that the next version keeps, in the order of their numbers: those that are whole, and not too many
    with one more."""
    there = [name for name in version.images if is_outlines(name) and is_whole(version, name, is_stored)]
    there.sort(key=lambda name: number_in(name) or 0)
    return [*there[:1], *there[1:][-(MOST_KEPT - 2) :]]


def is_whole(version: Version, name: str, is_stored: Callable[[ChunkId], bool]) -> bool:
    """Whether all chunks of an image are there. What was lost of outlines must hinder no new version."""
    numbers = {extent.chunk for extent in version.images[name].extents}
    return all(is_stored(version.chunks[number]) for number in numbers)
