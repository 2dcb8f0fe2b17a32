"""The jukebox's client: a ``SealedSource`` that believes nothing it is told and waits for nothing for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk, DamagedPack
from lookaside.jukebox.exchange import Exchange
from lookaside.jukebox.protocol import LARGEST_INFO_BYTES, MOST_IDS, ROOT, Info, parse_info
from lookaside.manifest import VersionName
from lookaside.pack import HEAD_BYTES, entry_of_head, require_body
from lookaside.sealed import SealedChunk, SealedGiven

PATIENCE_SECONDS = 5.0  # for a connection, and for each part of an answer to begin
LARGEST_MANIFEST_BYTES = 64 << 20


class Jukebox:
    """The jukebox at the first of ``addresses`` that answers. For one thread at a time."""

    def __init__(
        self, addresses: Sequence[str], port: int, name: str = "", patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.name = name or f"jukebox {addresses[0]}:{port}"
        self.received_bytes = 0  # of chunks, sealed, with their heads
        self._exchange = Exchange(self.name, addresses, port, patience_seconds)

    def find(self, ids: Sequence[ChunkId]) -> Iterator[SealedGiven]:
        """Those of the chunks that it has, as they arrive. Raises SourceUnusable."""
        for start in range(0, len(ids), MOST_IDS):
            yield from self._batch(ids[start : start + MOST_IDS])

    def info(self) -> Info:
        """What it says of itself. Raises SourceUnusable."""
        return parse_info(self._content(ROOT, LARGEST_INFO_BYTES), self.name)

    def manifest(self, name: VersionName) -> bytes:
        """What it says is that manifest. Raises SourceUnusable."""
        return self._content(f"{ROOT}/manifests/{name}", LARGEST_MANIFEST_BYTES)

    def close(self) -> None:
        """Ends the connection; the next request makes a new one."""
        self._exchange.close()

    def _batch(self, ids: Sequence[ChunkId]) -> Iterator[SealedGiven]:
        wanted = set(ids)
        with self._exchange.asked("POST", f"{ROOT}/chunks", b"".join(ids)) as answer:
            while head := answer.up_to(HEAD_BYTES):
                try:
                    entry = entry_of_head(head, 0)
                except DamagedPack:
                    raise self._exchange.unusable("answers garbage") from None
                if entry.chunk_id not in wanted:
                    raise self._exchange.unusable("answers what it was not asked for")
                wanted.remove(entry.chunk_id)
                body = answer.up_to(entry.body_bytes)
                self.received_bytes += len(head) + len(body)
                try:
                    yield entry.chunk_id, SealedChunk(entry, require_body(entry, body))
                except CorruptChunk as error:
                    yield entry.chunk_id, error

    def _content(self, path: str, most_bytes: int) -> bytes:
        """A short answer, whole."""
        with self._exchange.asked("GET", path) as answer:
            length = answer.length
            if length is None or length > most_bytes:
                raise self._exchange.unusable("does not say how much it answers, or too much")
            content = answer.up_to(length)
            if len(content) != length:
                raise self._exchange.unusable("breaks off")
            return content
