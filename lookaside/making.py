"""Making a version: images cut into chunks, chunks stored where they are not yet, and the manifest that says it all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lookaside.changed import whole
from lookaside.cutting import Piece, pieces
from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import ZEROS, Extent
from lookaside.manifest import ImageMap, Manifest, VersionName
from lookaside.readable import Readable, opened
from lookaside.versions import ChunkList
from soulpad.base.spans import Span


class ChunkStore(Protocol):
    """Where a version's chunks are to be."""

    def has(self, chunk_id: ChunkId) -> bool:
        """Whether it is there, or was put there, and will stay until the version is committed."""

    def put(self, chunk_id: ChunkId, content: bytes) -> None:
        """Stores a chunk that is not there."""


class VersionMaker:
    """Cuts one version's images. Chunks are stored meanwhile; the manifest is worth something only after that."""

    def __init__(self, domain: Domain, store: ChunkStore) -> None:
        self._domain = domain
        self._store = store
        self._chunks = ChunkList()
        self._images: list[ImageMap] = []

    def add_image(self, name: str, image: Readable | Path, changed: Iterable[Span] | None = None) -> None:
        """Adds an image. ``changed``: where it may differ from the base version's image of that name
        (None: it is new, and described in full). Raises OSError, or what the store raises."""
        with opened(image) as readable:
            size = readable.size_bytes
            spans = whole(size) if changed is None else changed
            extents = (self._extent(piece) for piece in pieces(readable, spans))
            kept = tuple(extent for extent in extents if changed is not None or extent.chunk != ZEROS)
        self._images.append(ImageMap(name, size, changed is None, kept))

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

    def _extent(self, piece: Piece) -> Extent:
        if piece.content is None:
            return Extent(piece.start, piece.units, ZEROS)
        chunk_id = self._domain.chunk_id(piece.content)
        if not self._store.has(chunk_id):
            self._store.put(chunk_id, piece.content)
        return Extent(piece.start, piece.units, self._chunks.number(chunk_id, piece.units))
