"""What is at hand where a version is made: the base version's files, and page ids of its images and the new ones.

Any of it may be missing; then more is read or stored, and nothing is wrong.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lookaside.changed import whole
from lookaside.cutting import Piece
from lookaside.cutting import pieces as cut_on_grid
from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import overlaid, units_of
from lookaside.lookup import KnownImage
from lookaside.manifest import ImageMap
from lookaside.pageids import ID_BYTES, PageIds, ids_of, page_ids
from lookaside.readable import Readable, opened
from lookaside.versions import ChunkList, Version
from soulpad.base.spans import Span, without

SUFFIX = ".pages"
IsStored = Callable[[ChunkId], bool]


@dataclass(frozen=True)
class AtHand:
    """``folder``: where the page ids of one parcel's images are kept. ``base``: the version that the new one is a
    difference against; ``files``: its images by name, those that are there, unchanged. Whoever wants nothing read
    twice keeps the folder from one version to the next."""

    folder: Path
    base: Version | None = None
    files: Mapping[str, Readable | Path] = field(default_factory=dict)

    @contextmanager
    def ids(self, domain: Domain, name: str, image: Readable, changed: Iterable[Span]) -> Iterator[PageIds]:
        """The page ids of an image. Where there were none, those of what did not change are read from it."""
        size = image.size_bytes
        with page_ids(self.folder / f"{name}{SUFFIX}", domain, size) as (ids, there):
            if not there:
                make_anew(domain, ids, image, without(whole(size), changed))
            yield ids

    @contextmanager
    def before(self, domain: Domain, name: str, ids: PageIds, is_stored: IsStored) -> Iterator[KnownImage | None]:
        """The image of that name in the base version; None: it is not at hand."""
        whole_image = self.base.images.get(name) if self.base else None
        if not self.base or not whole_image or name not in self.files:
            yield None
            return
        with opened(self.files[name]) as image:
            yield KnownImage(
                domain, image, ids, whole_image.extents, self.base.chunks, self.base.chunk_units, is_stored
            )

    @contextmanager
    def after(
        self, domain: Domain, image: ImageMap, content: Readable | Path, chunks: ChunkList, is_stored: IsStored
    ) -> Iterator[KnownImage]:
        """An image of the version that is being made, whose map numbers ``chunks``."""
        known = ChunkList()
        below = self.base.images.get(image.name) if self.base and not image.whole else None
        old = known.taken_over(below.extents, self.base.chunks, self.base.chunk_units) if self.base and below else []
        own = known.taken_over(image.extents, chunks.ids, chunks.units)
        full = list(overlaid(old, own, units_of(image.image_bytes)))
        with ExitStack() as cleanup:
            readable = cleanup.enter_context(opened(content))
            kept = self.folder / f"{image.name}{SUFFIX}"
            ids, _ = cleanup.enter_context(page_ids(kept, domain, image.image_bytes))
            yield KnownImage(domain, readable, ids, full, known.ids, known.units, is_stored)


def make_anew(domain: Domain, ids: PageIds, image: Readable, spans: Iterable[Span]) -> None:
    """Puts in the ids of what stands in ``spans`` of the image. Holes are not read."""
    for piece in cut_on_grid(image, spans):
        note(domain, ids, piece)


def note(domain: Domain, ids: PageIds, piece: Piece) -> None:
    """Puts in the ids of a piece of an image."""
    short = array("Q", bytes(piece.units * ID_BYTES)) if piece.content is None else ids_of(domain, piece.content)
    ids.write(piece.start, short)
