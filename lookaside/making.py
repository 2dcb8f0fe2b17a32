"""Making a version: images cut into chunks, chunks stored where they are not yet, and the manifest that says it all.

A disk that nothing is known of is cut on a grid. Where the base version's file is at hand, and for memory always, only
pages that differ are taken, and each is looked up in what the version has already (see paging).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from lookaside.athand import AtHand, note
from lookaside.changed import whole
from lookaside.cutting import ChunkStore, Piece, pieces
from lookaside.domain import Domain
from lookaside.extentmap import UNIT_BYTES, ZEROS, Extent, units_of
from lookaside.lookup import KnownImage
from lookaside.manifest import ImageMap, Manifest, VersionName
from lookaside.pageids import PageIds
from lookaside.paging import PageCutter
from lookaside.readable import Readable, opened
from lookaside.versions import ChunkList, Version
from soulpad.base.spans import Span
from soulpad.base.spans import pieces as cut_spans

ASIDE_BYTES = 64 << 10


class VersionMaker:
    """Cuts one version's images. Chunks are stored meanwhile; the manifest is worth something only after that."""

    def __init__(self, domain: Domain, store: ChunkStore, at_hand: AtHand | None = None) -> None:
        self._domain = domain
        self._store = store
        self._at_hand = at_hand
        self._chunks = ChunkList()
        self._images: list[ImageMap] = []
        self._disks: list[tuple[ImageMap, Readable | Path]] = []

    def add_image(self, name: str, image: Readable | Path, changed: Iterable[Span] | None = None) -> None:
        """Adds a disk or a small file. ``changed``: where it may differ from the base version's image of
        that name (None: it is new, and described in full). Raises OSError, or what the store raises."""
        with ExitStack() as cleanup:
            readable = cleanup.enter_context(opened(image))
            spans = whole(readable.size_bytes) if changed is None else list(changed)
            ids, before = self._known(name, readable, spans, changed is not None, cleanup)
            if before:
                extents = self._cut_by_pages(readable, spans, before, (), ids)
            else:
                extents = [self._extent(piece, ids) for piece in pieces(readable, spans)]
            self._keep(name, readable.size_bytes, changed is None, extents)
        self._disks.append((self._images[-1], image))

    def add_memory(self, name: str, image: Readable | Path, changed: Iterable[Span] | None = None) -> None:
        """Adds a memory, after the disks of its machine. Otherwise as ``add_image``."""
        with ExitStack() as cleanup:
            readable = cleanup.enter_context(opened(image))
            spans = whole(readable.size_bytes) if changed is None else list(changed)
            ids, before = self._known(name, readable, spans, changed is not None, cleanup)
            extents = self._cut_by_pages(readable, spans, before, self._known_disks(cleanup), ids)
            self._keep(name, readable.size_bytes, changed is None, extents)

    def add_aside(self, name: str, image: Readable) -> None:
        """Adds what is no file of the parcel's, in full. No page is looked up in it, now or later, and it is cut small,
        for whoever reads it wants parts of it."""
        extents = []
        for start, end in cut_spans(whole(image.size_bytes), ASIDE_BYTES):
            content = image.read_at(start, end - start)
            extents.append(self._extent(Piece(start // UNIT_BYTES, units_of(len(content)), content), None))
        self._keep(name, image.size_bytes, True, extents)

    def add_as_before(self, name: str, before: Version, *, is_base: bool) -> None:
        """Adds an image as it is in another version. ``is_base``: this one is a difference against that."""
        image = before.images[name]
        extents = [] if is_base else self._chunks.taken_over(image.extents, before.chunks, before.chunk_units)
        self._keep(name, image.image_bytes, not is_base, extents)

    def manifest(
        self,
        parcel: str,
        sequence: int,
        previous: VersionName | None,
        base: VersionName | None,
        documents: dict[str, str],
    ) -> Manifest:
        """The manifest of all that was added."""
        ids, units = tuple(self._chunks.ids), tuple(self._chunks.units)
        return Manifest(parcel, sequence, previous, base, tuple(self._images), ids, units, documents)

    def _keep(self, name: str, image_bytes: int, in_full: bool, extents: Iterable[Extent]) -> None:
        """A map that is whole has no need of extents that are zeros."""
        kept = tuple(extent for extent in extents if not in_full or extent.chunk != ZEROS)
        self._images.append(ImageMap(name, image_bytes, in_full, kept))

    def _known(
        self, name: str, image: Readable, changed: list[Span], is_difference: bool, cleanup: ExitStack
    ) -> tuple[PageIds | None, KnownImage | None]:
        """What is at hand of an image: its page ids, and what it was before."""
        if not self._at_hand:
            return None, None
        ids = cleanup.enter_context(self._at_hand.ids(self._domain, name, image, changed))
        before = self._at_hand.before(self._domain, name, ids, self._store.has) if is_difference else None
        return ids, cleanup.enter_context(before) if before else None

    def _known_disks(self, cleanup: ExitStack) -> list[KnownImage]:
        """This version's disks, for memory to be looked up in."""
        if not self._at_hand:
            return []
        after, given = self._at_hand.after, (self._chunks, self._store.has)
        return [cleanup.enter_context(after(self._domain, image, file, *given)) for image, file in self._disks]

    def _cut_by_pages(
        self,
        image: Readable,
        spans: Iterable[Span],
        before: KnownImage | None,
        others: Sequence[KnownImage],
        ids: PageIds | None,
    ) -> list[Extent]:
        return PageCutter(self._domain, self._store, self._chunks, before, others, ids).cut(image, spans)

    def _extent(self, piece: Piece, ids: PageIds | None) -> Extent:
        """A piece of the grid, stored."""
        if ids:
            note(self._domain, ids, piece)
        if piece.content is None:
            return Extent(piece.start, piece.units, ZEROS)
        chunk_id = self._domain.chunk_id(piece.content)
        self._store.keep(chunk_id, piece.content)
        return Extent(piece.start, piece.units, self._chunks.number(chunk_id, piece.units))
