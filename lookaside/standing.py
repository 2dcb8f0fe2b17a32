"""What stands at hand of chunks that a version uses in part: it is proved by their outlines and put in its place, and
those chunks need not come.

A block mostly stands where it stood before, so a needed page is looked for where the version has it, in the images of
each moment that is at hand. What is written is what was read and proved, page by page. An image that was altered, or
outlines that are damaged, cost time, and then whole chunks come as if nothing were at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import groupby

from lookaside.assembling import Part as FilePart
from lookaside.assembling import by_chunk, put_extent
from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.images import ImagesSource, Part, Places, places_in
from lookaside.outlines import Outline, is_outlines, proved, read_head, read_page_ids
from lookaside.readahead import ReadAhead
from lookaside.source import ChunkSource, FirstOf, Tally, unreadable
from lookaside.storedimage import StoredImage
from lookaside.versions import Version
from soulpad.base.errors import SoulpadError
from soulpad.base.spans import bytes_in, union

_GAP = bytes(UNIT_BYTES)


class Outlines:
    """The outlines that a version has, from wherever its chunks come. What cannot be had of them is left out."""

    def __init__(self, domain: Domain, version: Version, source: ChunkSource) -> None:
        self._domain = domain
        self._version = version
        self._source = source
        self._places: dict[ChunkId, tuple[StoredImage, Outline]] = {}

    def look_for(self, wanted: Collection[ChunkId]) -> None:
        """Finds where those chunks' outlines are, which will be asked for in that order."""
        units = dict(zip(self._version.chunks, self._version.chunk_units, strict=True))
        held = ReadAhead(self._source, ())
        for name, whole in self._version.images.items():
            if is_outlines(name):
                image = StoredImage(whole, self._version.chunks, held)
                with suppress(SoulpadError):
                    for chunk_id, outline in read_head(self._domain, image, wanted).items():
                        if units[chunk_id] == outline.units:
                            self._places.setdefault(chunk_id, (image, outline))
        held.expect(needed for chunk_id in wanted for needed in self._needed_for(chunk_id))

    def page_ids(self, chunk_id: ChunkId) -> list[bytes]:
        """The page ids of a chunk; none where they cannot be had."""
        try:
            return read_page_ids(*self._places[chunk_id]) if chunk_id in self._places else []
        except SoulpadError:
            return []

    def _needed_for(self, chunk_id: ChunkId) -> Iterator[ChunkId]:
        """The chunks that have a chunk's outline."""
        if chunk_id in self._places:
            image, outline = self._places[chunk_id]
            yield from image.chunks_at(outline.offset, outline.size_bytes)


class Standing:
    """Puts what stands in the images of ``moments`` into the files of a version that is being restored. ``names``: the
    version's images that are; ``first``: what gives outlines, gives up a moment that fails, and counts what each gave;
    ``tell``: is told how many bytes were put."""

    def __init__(
        self,
        domain: Domain,
        version: Version,
        names: Iterable[str],
        moments: Iterable[ImagesSource],
        first: FirstOf,
        tell: Callable[[int], None],
    ) -> None:
        self._domain = domain
        self._version = version
        self._names = list(names)
        self._moments = list(moments)
        self._outlines = Outlines(domain, version, first)
        self._first = first
        self._tell = tell

    def put(self, parts: list[FilePart]) -> list[FilePart]:
        """Writes the parts of chunks that stand, and gives back the others. Raises OSError of the files, CorruptChunk
        where a version makes no sense."""
        chunks = self._version.chunks
        numbers = dict.fromkeys(part.chunk for part in parts if part.chunk != ZEROS) if self._moments else {}
        wanted = dict.fromkeys(chunks[number] for number in numbers if self._may_stand(chunks[number]))
        if not wanted:
            return parts
        self._outlines.look_for(wanted.keys())
        left: list[FilePart] = []
        for number, group in groupby(parts, by_chunk):
            some = list(group)
            if number == ZEROS or chunks[number] not in wanted or not self._put_chunk(chunks[number], some):
                left += some
        return left

    @cached_property
    def _places(self) -> Places:
        """Where the images that are restored have their chunks."""
        images = {name: self._version.images[name] for name in self._names}
        return places_in([(images, self._version.chunks, self._version.chunk_units)])

    def _may_stand(self, chunk_id: ChunkId) -> bool:
        """Whether some of a chunk is not needed, and all that is might be in an image."""
        parts = self._places.parts[chunk_id]
        there = [part for part in parts if any(moment.has_image(part.name) for moment in self._moments)]
        return units_in(there) == units_in(parts) < self._places.units[chunk_id]

    def _put_chunk(self, chunk_id: ChunkId, parts: Iterable[FilePart]) -> bool:
        """Whether all that is needed of a chunk stands, and was put."""
        pages, given = self._standing(chunk_id)
        if len(pages) < units_in(self._places.parts[chunk_id]):
            return False
        content = b"".join(pages.get(unit, _GAP) for unit in range(self._places.units[chunk_id]))
        for part in parts:
            put_extent(part.descriptor, part.extent, content, part.image_bytes)
        for name, count in given.items():
            tally = self._first.tallies.setdefault(name, Tally())
            tally.chunks += 1
            tally.content_bytes += count
        self._tell(sum(given.values()))
        return True

    def _standing(self, chunk_id: ChunkId) -> tuple[dict[int, bytes], dict[str, int]]:
        """The needed pages of a chunk that stand, by their units, and how many bytes each moment gave."""
        page_ids = self._outlines.page_ids(chunk_id)
        parts = sorted(self._places.parts[chunk_id], key=lambda part: -part.units)
        pages: dict[int, bytes] = {}
        given: dict[str, int] = {}
        for moment in list(self._moments) if page_ids else []:
            for part in parts:
                if all(unit in pages for unit in range(part.chunk_offset, part.chunk_offset + part.units)):
                    continue
                for unit, page in proved(self._domain, page_ids, part.chunk_offset, self._read(moment, part)):
                    if unit not in pages:
                        pages[unit] = page
                        given[moment.name] = given.get(moment.name, 0) + len(page)
        return pages, given

    def _read(self, moment: ImagesSource, part: Part) -> bytes:
        """What stands there; nothing, from now on, of a medium that fails."""
        try:
            return moment.read(part) if moment in self._moments else b""
        except OSError as error:
            self._moments.remove(moment)
            self._first.remove(moment.name)
            self._first.tallies.setdefault(moment.name, Tally()).failed += 1
            self._first.on_trouble(moment.name, unreadable(moment.name, error))
            return b""


def units_in(parts: Iterable[Part]) -> int:
    """How many units of a chunk they are."""
    return bytes_in(union((part.chunk_offset, part.chunk_offset + part.units) for part in parts))
