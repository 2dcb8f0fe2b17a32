"""A version on its way into a repository: chunks first, in packs, then the manifest, then its number.

Broken off anywhere, no version knows of anything that is not there; finished packs stay, for the next upload to find.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lookaside.domain import ChunkId
from lookaside.errors import VersionTaken
from lookaside.manifest import Manifest, VersionName, encode_manifest, version_name
from lookaside.pack import PackWriter
from lookaside.placing import give_name, new_name, place
from lookaside.repository import MANIFESTS, PACKS, VERSIONS, Repository, digits
from lookaside.sealingahead import Ready, SealingAhead

PACK_BYTES = 16 << 20


class Upload:
    """A ``ChunkStore``: a chunk that was put is there for this upload at once, for others when its pack is finished.

    ``stored_bytes``: of packs and manifests so far; ``new_chunks``: how many were put.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._sealing = SealingAhead(repository.domain)
        self._pending: set[ChunkId] = set()
        self._open: tuple[Path, BinaryIO, PackWriter] | None = None
        self.stored_bytes = 0
        self.new_chunks = 0

    def has(self, chunk_id: ChunkId) -> bool:
        return chunk_id in self._pending or chunk_id in self._sealing or self._repository.has(chunk_id)

    def put(self, chunk_id: ChunkId, content: bytes) -> None:
        """Raises OSError."""
        self.new_chunks += 1
        for ready in self._sealing.put(chunk_id, content):
            self._add(ready)

    def _add(self, ready: Ready) -> None:
        """Appends a sealed chunk to the open pack."""
        if self._open is None:
            staged = new_name(self._repository.staging)
            file = staged.open("xb")
            self._open = staged, file, PackWriter(file, self._repository.domain.public_id)
        writer = self._open[2]
        writer.add(*ready)
        self._pending.add(ready.chunk_id)
        if writer.bytes_written >= PACK_BYTES:
            self._finish_pack()

    def finish_pack(self) -> None:
        """What was put so far is durable and can be found."""
        for ready in self._sealing.rest():
            self._add(ready)
        self._finish_pack()

    def _finish_pack(self) -> None:
        if self._open is None:
            return
        staged, file, writer = self._open
        name = writer.finish()
        file.flush()
        os.fsync(file.fileno())
        file.close()
        give_name(staged, self._repository.path(PACKS, name))
        self._repository.take_up(name, writer.entries)
        self.stored_bytes += writer.bytes_written
        self._pending.clear()
        self._open = None

    def commit(self, manifest: Manifest) -> VersionName:
        """Makes the version the parcel's newest, all its chunks being put. Raises VersionTaken, OSError."""
        self.finish_pack()
        encoded = encode_manifest(self._repository.domain, manifest)
        name = version_name(encoded)
        place(encoded, self._repository.path(MANIFESTS, name), self._repository.staging)
        self.stored_bytes += len(encoded)
        line = self._repository.root / VERSIONS / manifest.parcel / digits(manifest.sequence)
        try:
            place(f"{name}\n".encode(), line, self._repository.staging, replace=False)  # commit point
        except FileExistsError:
            raise VersionTaken(
                f"{self._repository.root} has a version {manifest.sequence} of the parcel already, another one.",
                "the parcel was backed up from elsewhere meanwhile: look at its versions first",
            ) from None
        return name

    def drop(self) -> None:
        """Gives up the pack that is not finished."""
        self._sealing.end()
        if self._open:
            staged, file, _ = self._open
            file.close()
            staged.unlink(missing_ok=True)
            self._open = None


@contextmanager
def uploading(repository: Repository) -> Iterator[Upload]:
    """An upload; what it did not finish is removed when the block ends."""
    upload = Upload(repository)
    try:
        yield upload
    finally:
        upload.drop()
