"""A shelf: a place with packs, read without a key. By its index where that is there, else by the packs' own tables.

What an index says of a place is believed when the head there confirms it. After the first lie, and for packs that the
index does not name, the packs' tables are read, once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Lock

from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk, DamagedIndex, DamagedPack
from lookaside.index import INDEX_FILE, Index, PackFile, Place, open_index
from lookaside.manifest import VersionName
from lookaside.media.trees import Tree, opened
from lookaside.pack import HEAD_BYTES, Entry, PackName, read_entries, require_body
from lookaside.sealed import SealedChunk, SealedGiven, head_of
from lookaside.source import unreadable
from soulpad.base.errors import UnknownFormat

PACKS = "packs"
MANIFESTS = "manifests"
NAME_DIGITS = 64

log = logging.getLogger("soulpad.lookaside")


class Shelf:
    """A ``SealedSource`` over a tree that has a folder ``packs`` as repositories have it. Several threads may ask."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._lock = Lock()
        self._index: Index | None = None
        self._index_opened = False
        self._listed: dict[ChunkId, tuple[PackName, Entry]] | None = None  # by tables that were read

    @property
    def name(self) -> str:
        return self.tree.name

    def find(self, ids: Sequence[ChunkId]) -> Iterator[SealedGiven]:
        """Those of the chunks that are here, each read when it is its turn. Raises SourceUnusable."""
        for chunk_id in ids:
            try:
                found = self.by_index(chunk_id) or self.by_tables(chunk_id)
            except OSError as error:
                raise unreadable(self.name, error) from None
            if found is not None:
                yield chunk_id, found

    def index(self) -> Index | None:
        """The index beside the packs, if there is one that can be used."""
        with self._lock:
            if not self._index_opened:
                self._index_opened = True
                self._index = self._opened_index()
            return self._index

    def by_index(self, chunk_id: ChunkId) -> SealedChunk | CorruptChunk | None:
        """The chunk where the index says that it is. None: the index does not name it, or not its place."""
        index = self.index()
        damage = None
        try:
            for place in index.places(chunk_id) if index else ():
                found = self._at(place, chunk_id)
                if isinstance(found, SealedChunk):
                    return found
                damage = found or damage
        except (DamagedIndex, OSError) as error:
            self._distrust(str(error))
        return damage

    def by_tables(self, chunk_id: ChunkId) -> SealedChunk | CorruptChunk | None:
        """The chunk where a pack's table says that it is, of packs that the index does not name."""
        listed = self._tables().get(chunk_id)
        if listed is None:
            return None
        name, entry = listed
        return self._with_body(name, entry)

    def packs(self) -> Iterator[PackFile]:
        """All packs that are here. Raises OSError."""
        for folder in self.tree.names(PACKS):
            for name in self.tree.names(f"{PACKS}/{folder}"):
                if len(name) == NAME_DIGITS and name.startswith(folder) and not set(name) - set("0123456789abcdef"):
                    yield PackFile(PackName(name), self.tree.file_bytes(f"{PACKS}/{folder}/{name}"))

    def entries(self, file: PackFile) -> list[Entry]:
        """What a pack's table lists. Raises DamagedPack, UnknownFormat, OSError."""
        return read_entries(opened(self.tree, pack_path(file.name)), file.pack_bytes)

    def manifest(self, name: VersionName) -> bytes:
        """What is here as that manifest. Raises SourceUnusable."""
        path = f"{MANIFESTS}/{name[:2]}/{name}"
        try:
            return self.tree.read(path, 0, self.tree.file_bytes(path))
        except OSError as error:
            raise unreadable(self.name, error) from None

    def _opened_index(self) -> Index | None:
        try:
            index_bytes = self.tree.file_bytes(INDEX_FILE)
            return open_index(lambda offset, count: self.tree.read(INDEX_FILE, offset, count), index_bytes)
        except FileNotFoundError:
            return None
        except (DamagedIndex, UnknownFormat, OSError) as error:
            log.warning("%s: its index is not used: %s", self.name, error)
            return None

    def _at(self, place: Place, chunk_id: ChunkId) -> SealedChunk | CorruptChunk | None:
        """The chunk at a place of which the index tells. None: its pack is not here, or the index lied."""
        try:
            head = self.tree.read(pack_path(place.pack), place.offset, HEAD_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            return scratched(error)
        try:
            entry = head_of(head, chunk_id, place.offset)
        except CorruptChunk:
            self._distrust(f"The index says that chunk {chunk_id.hex()[:12]} is where it is not.")
            return None
        return self._with_body(place.pack, entry)

    def _with_body(self, name: PackName, entry: Entry) -> SealedChunk | CorruptChunk | None:
        """The chunk of that entry. A place that cannot be read may be a scratch: the rest may be whole."""
        try:
            body = self.tree.read(pack_path(name), entry.body_offset, entry.body_bytes)
            return SealedChunk(entry, require_body(entry, body))
        except FileNotFoundError:
            return None
        except OSError as error:
            return scratched(error)
        except CorruptChunk as error:
            return error

    def _distrust(self, why: str) -> None:
        """From now on all packs' tables are used, and not the index."""
        with self._lock:
            if self._index is not None:
                log.warning("%s: its index is not used any more: %s", self.name, why)
                self._index, self._listed = None, None

    def _tables(self) -> dict[ChunkId, tuple[PackName, Entry]]:
        index = self.index()
        with self._lock:
            if self._listed is None:
                indexed = {file.name for file in index.packs} if index else set()
                self._listed = self._read_tables(indexed)
            return self._listed

    def _read_tables(self, left_out: set[PackName]) -> dict[ChunkId, tuple[PackName, Entry]]:
        listed: dict[ChunkId, tuple[PackName, Entry]] = {}
        for file in self.packs():
            if file.name not in left_out:
                with suppress(DamagedPack, UnknownFormat, FileNotFoundError):
                    for entry in self.entries(file):
                        listed.setdefault(entry.chunk_id, (file.name, entry))
        return listed


def pack_path(name: PackName) -> str:
    """Where a pack lies below the tree's root."""
    return f"{PACKS}/{name[:2]}/{name}"


def scratched(error: OSError) -> CorruptChunk:
    """The error for a chunk that the medium does not give."""
    return CorruptChunk(f"A chunk cannot be read: {error.strerror or error}.", "another source is asked for it")
