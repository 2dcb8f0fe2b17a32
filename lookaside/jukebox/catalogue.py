"""What a jukebox serves: the shelves of its folders. It has no key, and proves a chunk's bytes before sending them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookaside.domain import ChunkId
from lookaside.errors import CannotServe, CorruptChunk, DamagedIndex, SourceUnusable
from lookaside.index import INDEX_FILE
from lookaside.media.indexing import check_index, write_index
from lookaside.media.shelf import Shelf, pack_path
from lookaside.media.trees import FolderTree
from lookaside.pack import PackName
from lookaside.publickey import PUBLIC_KEY_FILE
from lookaside.sealed import SealedChunk
from soulpad.base.errors import UnknownFormat

log = logging.getLogger("soulpad.lookaside")


class Catalogue:
    """The shelves of ``folders``. ``manifests``: whether those of private domains are given out too."""

    def __init__(self, folders: Sequence[Path], *, manifests: bool = False) -> None:
        self._folders = tuple(folders)
        self._manifests = manifests
        self._packs: tuple[frozenset[PackName], ...] = ()
        self._shelves: tuple[Shelf, ...] = ()
        self.refresh()

    @property
    def chunk_count(self) -> int:
        """As the indexes say."""
        return sum(index.record_count for shelf in self._shelves if (index := shelf.index()))

    def refresh(self) -> None:
        """Takes up packs that came and drops those that went. Raises CannotServe."""
        packs = tuple(packs_in(folder) for folder in self._folders)
        if packs != self._packs:
            for folder, names in zip(self._folders, packs, strict=True):
                bring_index_up_to_date(folder, names)
            self._packs, self._shelves = packs, tuple(Shelf(FolderTree(folder)) for folder in self._folders)

    def chunks(self, ids: Sequence[ChunkId]) -> Iterator[SealedChunk]:
        """Those of the chunks that are here, their bytes proved. What is damaged is withheld."""
        wanted = dict.fromkeys(ids)
        for shelf in self._shelves:
            try:
                for chunk_id, found in shelf.find(list(wanted)):
                    if isinstance(found, CorruptChunk):
                        log.warning("%s: chunk %s is withheld: %s", shelf.name, chunk_id.hex(), found.message)
                        continue
                    del wanted[chunk_id]
                    yield found
            except SourceUnusable as error:
                log.warning("%s", error.message)

    def pack_file(self, name: str) -> Path | None:
        """Where a pack lies."""
        return self._first(pack_path(PackName(name)))

    def index_file(self, number: int) -> Path | None:
        """Where a folder's index lies."""
        path = self._folders[number] / INDEX_FILE if number < len(self._folders) else None
        return path if path and path.is_file() else None

    def manifest_file(self, name: str) -> Path | None:
        """Where a manifest lies that may be given out."""
        allowed = [folder for folder in self._folders if self._manifests or (folder / PUBLIC_KEY_FILE).is_file()]
        return self._first(f"manifests/{name[:2]}/{name}", allowed)

    def _first(self, path: str, folders: Sequence[Path] | None = None) -> Path | None:
        candidates = (folder / path for folder in (self._folders if folders is None else folders))
        return next((candidate for candidate in candidates if candidate.is_file()), None)


def packs_in(folder: Path) -> frozenset[PackName]:
    """The packs of a folder. Raises CannotServe."""
    try:
        return frozenset(file.name for file in Shelf(FolderTree(folder)).packs())
    except OSError as error:
        raise CannotServe(
            f"{folder} has no packs that can be read: {error.strerror}.", "name a repository, or a copy of one"
        ) from None


def bring_index_up_to_date(folder: Path, packs: frozenset[PackName]) -> None:
    """Writes the folder's index if that is damaged or does not name all packs. Where that is not possible the packs'
    tables are used, which takes more memory."""
    try:
        if {file.name for file in check_index(folder).packs} >= packs:
            return
    except (OSError, DamagedIndex, UnknownFormat):
        pass  # a new one is better in any case
    try:
        write_index(folder)
    except OSError as error:
        log.warning("%s: no index can be written: %s", folder, error.strerror)
