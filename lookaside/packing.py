"""Packs on their way into a repository: sealed chunks are added, and from time to time a pack is finished.

What a crash leaves: a staged file, which counts for nothing; finished packs stay and are found.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from lookaside.domain import ChunkId
from lookaside.pack import PackName, PackWriter
from lookaside.placing import give_name, new_name
from lookaside.repository import PACKS, Repository
from lookaside.sealing import Sealed

PACK_BYTES = 16 << 20


class PackBin:
    """Fills packs of about PACK_BYTES. ``stored_bytes``: of those finished; ``packs``: their names."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._open: tuple[Path, BinaryIO, PackWriter] | None = None
        self._pending: set[ChunkId] = set()
        self.stored_bytes = 0
        self.packs: list[PackName] = []

    def has(self, chunk_id: ChunkId) -> bool:
        """Whether it is in the pack that is not finished."""
        return chunk_id in self._pending

    def add(self, chunk_id: ChunkId, content_bytes: int, sealed: Sealed) -> None:
        """Raises OSError."""
        if self._open is None:
            staged = new_name(self._repository.staging)
            file = staged.open("xb")
            self._open = staged, file, PackWriter(file, self._repository.domain.public_id)
        writer = self._open[2]
        writer.add(chunk_id, content_bytes, sealed)
        self._pending.add(chunk_id)
        if writer.bytes_written >= PACK_BYTES:
            self.finish()

    def finish(self) -> None:
        """What was added so far is durable and can be found. Raises OSError."""
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
        self.packs.append(name)
        self._pending.clear()
        self._open = None

    def drop(self) -> None:
        """Gives up the pack that is not finished."""
        if self._open:
            staged, file, _ = self._open
            file.close()
            staged.unlink(missing_ok=True)
            self._open = None
