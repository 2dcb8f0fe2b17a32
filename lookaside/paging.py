"""Cutting by pages: what differs from before, page by page, each looked up first. New pages are grouped into chunks.

So the parts of a chunk that one version brings may be anywhere in its image, and the chunk is of no use to anybody who
has not the same before; that is what cutting on a grid is for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import NamedTuple

from lookaside.cutting import CHUNK_BYTES, ChunkStore, on_grid
from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import UNIT_BYTES, ZEROS, Extent, joined
from lookaside.lookup import KnownImage, Place
from lookaside.pageids import NOT_KNOWN, PageIds, is_zeros, pages_of, shortened
from lookaside.readable import Readable
from lookaside.versions import ChunkList
from soulpad.base.spans import Span, pieces

WINDOW_PAGES = 1 << 17  # looked up at once; bounds memory, at some 50 MB


class Page(NamedTuple):
    """A page that is not as it was. ``page_id``: None for zeros."""

    number: int
    page_id: bytes | None


@dataclass(frozen=True)
class PageCutter:
    """Cuts one image. ``before``: the image in the base version, if it is at hand; ``others``: where pages are looked
    up besides; ``ids``: takes up the short ids of the pages that are cut, if anybody keeps them."""

    domain: Domain
    store: ChunkStore
    chunks: ChunkList
    before: KnownImage | None = None
    others: Sequence[KnownImage] = ()
    ids: PageIds | None = None

    def cut(self, image: Readable, spans: Iterable[Span]) -> list[Extent]:
        """The extents of what differs within ``spans``, zeros included. Raises OSError, or what the store raises."""
        fresh: list[tuple[int, array[int]]] = []
        extents: list[Extent] = []
        changed = self._pages(image, pieces(on_grid(spans, image.size_bytes, UNIT_BYTES), CHUNK_BYTES), fresh)
        while window := list(islice(changed, WINDOW_PAGES)):
            extents += joined(self._extents(image, window))
        if self.ids:
            for first, short in fresh:
                self.ids.write(first, short)  # only now: until here they told of the image before
        return extents

    def _pages(self, image: Readable, spans: Iterable[Span], fresh: list[tuple[int, array[int]]]) -> Iterator[Page]:
        """The pages in ``spans`` that are not as they were, or not stored any more; all short ids go to ``fresh``."""
        for start, end in spans:
            first = start // UNIT_BYTES
            content = image.read_at(start, end - start)
            before = self.before.content(start, end - start) if self.before else b""
            short = array("Q")
            for number, (page, old) in enumerate(zip_longest(pages_of(content), pages_of(before)), first):
                page_id = None if is_zeros(page) else self.domain.page_id(page)
                short.append(shortened(page_id) if page_id else NOT_KNOWN)
                if page != old or not (self.before and self.before.stays(number)):
                    yield Page(number, page_id)
            fresh.append((first, short))

    def _extents(self, image: Readable, window: list[Page]) -> Iterator[Extent]:
        """An extent for each page of the window; the new ones are stored."""
        places = self._found(window)
        new = {page.page_id: page.number for page in window if page.page_id and page.page_id not in places}
        for group in batched(new.items(), CHUNK_BYTES // UNIT_BYTES):
            places |= self._stored(image, group)
        for number, page_id in window:
            if page_id is None:
                yield Extent(number, 1, ZEROS)
            else:
                place = places[page_id]
                yield Extent(number, 1, self.chunks.number(place.chunk_id, place.chunk_units), place.offset)

    def _found(self, window: Iterable[Page]) -> dict[bytes, Place]:
        """The places of those pages that are known."""
        wanted = {shortened(page_id): page_id for _, page_id in window if page_id}
        places: dict[bytes, Place] = {}
        for known in ((self.before,) if self.before else ()) + tuple(self.others):
            found = known.find(wanted)
            places |= found
            wanted = {short: page_id for short, page_id in wanted.items() if page_id not in found}
        return places

    def _stored(self, image: Readable, group: Sequence[tuple[bytes, int]]) -> dict[bytes, Place]:
        """The places of new pages (page id, number) in a chunk of their own, which is stored."""
        content = b"".join(image.read_at(number * UNIT_BYTES, UNIT_BYTES) for _, number in group)
        chunk_id: ChunkId = self.domain.chunk_id(content)
        self.store.keep(chunk_id, content)
        return {page_id: Place(chunk_id, len(group), offset) for offset, (page_id, _) in enumerate(group)}


def batched(items: Iterable[tuple[bytes, int]], most: int) -> Iterator[list[tuple[bytes, int]]]:
    """The items in lists of so many; the last may be shorter."""
    rest = iter(items)
    while some := list(islice(rest, most)):
        yield some
