"""Chunks sealed by several threads while the next ones are read: compression takes longer than all else together.

zstandard and OpenSSL let other threads run while they work on a chunk, which is large enough to be worth a hand-over.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from lookaside.domain import ChunkId, Domain
from lookaside.pack import seal_chunk
from lookaside.sealing import Sealed

AHEAD = 8  # chunks that wait at most: bounds memory


class Ready(NamedTuple):
    """A chunk that is sealed."""

    chunk_id: ChunkId
    content_bytes: int
    sealed: Sealed


class SealingAhead:
    """Chunks on their way. They come out in the order in which they were put in."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        self._waiting: deque[Future[Ready]] = deque()
        self._ids: set[ChunkId] = set()

    def __contains__(self, chunk_id: ChunkId) -> bool:
        return chunk_id in self._ids

    def put(self, chunk_id: ChunkId, content: bytes) -> Iterator[Ready]:
        """Takes a chunk in; gives those that are too many to wait."""
        self._ids.add(chunk_id)
        self._waiting.append(self._threads.submit(self._seal, chunk_id, content))
        return self._out(AHEAD)

    def rest(self) -> Iterator[Ready]:
        """Gives all that wait."""
        return self._out(0)

    def end(self) -> None:
        """Drops what waits, and ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _out(self, kept: int) -> Iterator[Ready]:
        while len(self._waiting) > kept:
            ready = self._waiting[0].result()
            self._waiting.popleft()
            yield ready
            self._ids.discard(ready.chunk_id)

    def _seal(self, chunk_id: ChunkId, content: bytes) -> Ready:
        return Ready(chunk_id, len(content), seal_chunk(self._domain, chunk_id, content))
