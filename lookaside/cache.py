"""A cache: a folder of chunks that came from afar, of bounded size. What was not used for longest goes first.

    ab/ID       a chunk's head and body, as in a pack; ID is in hex and begins with ab
    .staged/    what is being written

A file that a crash left torn is noticed when it is used, and removed; so nothing need be made durable. The times of the
files say what was used last: a clock that is wrong costs nothing but a chunk that has to come again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk
from lookaside.pack import HEAD_BYTES, LARGEST_BODY_BYTES
from lookaside.placing import new_name
from lookaside.repository import is_digest
from lookaside.sealed import SealedChunk, SealedGiven, SealedSource, sealed_chunk

STAGED = ".staged"
LEFT_SHARE = 0.9  # of the limit: what is left when room was made


class _Kept(NamedTuple):
    used_at_ns: int
    file_bytes: int
    path: Path


class Cache:
    """A ``SealedSource``. Raises OSError only when it is made: a cache that fails is one that has nothing."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        (root / STAGED).mkdir(parents=True, exist_ok=True)
        for left in (root / STAGED).iterdir():
            with suppress(OSError):
                left.unlink()
        self._bytes = sum(kept.file_bytes for kept in self._all())

    @property
    def name(self) -> str:
        return f"cache {self.root}"

    def find(self, ids: Sequence[ChunkId]) -> Iterator[SealedGiven]:
        """Those of the chunks that are kept whole."""
        for chunk_id in ids:
            found = self._read(chunk_id)
            if found is not None:
                yield chunk_id, found

    def keep(self, chunk: SealedChunk) -> None:
        """Keeps a chunk, if there is room and the disk takes it."""
        encoded = chunk.encoded()
        path = self._path(chunk.entry.chunk_id)
        if len(encoded) > self.limit_bytes or path.exists():
            return
        staged = new_name(self.root / STAGED)
        try:
            staged.write_bytes(encoded)
            path.parent.mkdir(exist_ok=True)
            staged.replace(path)  # commit point
        except OSError:
            with suppress(OSError):
                staged.unlink()
            return
        self._bytes += len(encoded)
        if self._bytes > self.limit_bytes:
            self._make_room()

    def _read(self, chunk_id: ChunkId) -> SealedChunk | None:
        path = self._path(chunk_id)
        try:
            with path.open("rb") as file:
                found = sealed_chunk(file.read(HEAD_BYTES + LARGEST_BODY_BYTES + 1), chunk_id)
        except CorruptChunk:
            self._remove(path)
            return None
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def _make_room(self) -> None:
        kept = sorted(self._all())
        self._bytes = sum(one.file_bytes for one in kept)
        for one in kept:
            if self._bytes <= self.limit_bytes * LEFT_SHARE:
                return
            self._remove(one.path)
            self._bytes -= one.file_bytes

    def _all(self) -> Iterator[_Kept]:
        """What is ours: other files, of a folder that was named by mistake, are not touched."""
        for folder in self.root.iterdir():
            if len(folder.name) != 2 or not folder.is_dir():
                continue
            for path in folder.iterdir():
                if not (is_digest(path.name) and path.name.startswith(folder.name)):
                    continue
                with suppress(OSError):
                    status = path.stat()
                    yield _Kept(status.st_mtime_ns, status.st_size, path)

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink()

    def _path(self, chunk_id: ChunkId) -> Path:
        name = chunk_id.hex()
        return self.root / name[:2] / name


class Keeping:
    """A ``SealedSource`` of which whatever it gives whole goes into a cache."""

    def __init__(self, source: SealedSource, cache: Cache, name: str = "") -> None:
        self.name = name or source.name
        self._source = source
        self._cache = cache

    def find(self, ids: Sequence[ChunkId]) -> Iterator[SealedGiven]:
        """As the source gives them."""
        for chunk_id, found in self._source.find(ids):
            if isinstance(found, SealedChunk):
                self._cache.keep(found)
            yield chunk_id, found
