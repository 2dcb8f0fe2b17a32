"""Chunks in the order in which they will be used: asked for many at once and kept for a while, for memory's extents
name the same chunk again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from lookaside.cutting import CHUNK_BYTES
from lookaside.domain import ChunkId
from lookaside.source import BatchSource, ChunkSource

AHEAD_BYTES = 8 << 20  # at 10 Mb/s and 50 ms a request: 99 % of the link's rate
KEPT_BYTES = 3 * AHEAD_BYTES


class ReadAhead:
    """A source whose chunks are asked for in the order of ``upcoming``, each as often as it stands there."""

    def __init__(self, source: ChunkSource, upcoming: Iterable[ChunkId]) -> None:
        self.name = source.name
        self._source = source
        self._upcoming = iter(upcoming)
        self._kept: OrderedDict[ChunkId, bytes] = OrderedDict()  # the one used last is the last
        self._kept_bytes = 0
        self._unused: set[ChunkId] = set()  # of those kept: came ahead and were not asked for yet
        self._largest_bytes = CHUNK_BYTES

    def expect(self, upcoming: Iterable[ChunkId]) -> None:
        """From now on those will be asked for."""
        self._upcoming = iter(upcoming)

    def get(self, chunk_id: ChunkId) -> bytes:
        """As the source gives it."""
        if chunk_id not in self._kept and isinstance(self._source, BatchSource):
            for found_id, content in self._source.get_many(self._next(chunk_id)):
                if isinstance(content, bytes):
                    self._keep(found_id, content)
        if chunk_id not in self._kept:
            self._keep(chunk_id, self._source.get(chunk_id))
        self._unused.discard(chunk_id)
        self._kept.move_to_end(chunk_id)
        self._forget()
        return self._kept[chunk_id]

    def _next(self, chunk_id: ChunkId) -> list[ChunkId]:
        """The chunk, and of those that come after it as many as there is room for."""
        room = max(1, AHEAD_BYTES // self._largest_bytes - len(self._unused))
        wanted = {chunk_id: None}
        while len(wanted) < room and (following := next(self._upcoming, None)) is not None:
            if following not in self._kept:
                wanted[following] = None
        return list(wanted)

    def _keep(self, chunk_id: ChunkId, content: bytes) -> None:
        self._kept[chunk_id] = content
        self._kept_bytes += len(content)
        self._unused.add(chunk_id)
        self._largest_bytes = max(self._largest_bytes, len(content))

    def _forget(self) -> None:
        """Drops what was not used for longest, never the one used last."""
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            chunk_id, content = self._kept.popitem(last=False)
            self._kept_bytes -= len(content)
            self._unused.discard(chunk_id)
