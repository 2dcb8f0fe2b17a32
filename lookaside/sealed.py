"""Sealed chunks and where they come from: what needs no key. A folder, a disc, a jukebox and a cache give these.

That a sealed chunk is whole can be told without a key, by the digest in its head; that it is the right one only with
the domain's key, when it is opened. ``Opened`` is the step from the one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing, CorruptChunk, DamagedPack
from lookaside.pack import HEAD_BYTES, Entry, entry_of_head, open_chunk, require_body
from lookaside.source import Given


class SealedChunk(NamedTuple):
    """A chunk as it stands in a pack: its head's content, and its body, which fit together."""

    entry: Entry
    body: bytes

    def encoded(self) -> bytes:
        """Head and body, as in a pack."""
        return self.entry.head() + self.body


SealedGiven = tuple[ChunkId, SealedChunk | CorruptChunk]


class SealedSource(Protocol):
    """A place that may have sealed chunks."""

    @property
    def name(self) -> str:
        """What people call it."""

    def find(self, ids: Sequence[ChunkId]) -> Iterator[SealedGiven]:
        """Those of the chunks that it has, in any order, whole or with what is wrong with them; nothing of the others.
        Raises what ails the place, also after it gave some."""


def sealed_chunk(encoded: bytes, chunk_id: ChunkId) -> SealedChunk:
    """The chunk of that id in the bytes of head and body. Raises CorruptChunk."""
    entry = head_of(encoded[:HEAD_BYTES], chunk_id)
    return SealedChunk(entry, require_body(entry, encoded[HEAD_BYTES:]))


def head_of(head: bytes, chunk_id: ChunkId, offset: int = 0) -> Entry:
    """The entry of that id, whose head stands at ``offset``. Raises CorruptChunk where it is another one's, or none."""
    try:
        entry = entry_of_head(head, offset)
    except DamagedPack:
        raise CorruptChunk("A chunk is damaged: its head was altered.", "another source is asked for it") from None
    if entry.chunk_id != chunk_id:
        raise CorruptChunk("A chunk is not where it should be.", "another source is asked for it")
    return entry


class Opened:
    """A source of one domain's chunks, by its key, from sealed ones. A ``BatchSource``."""

    def __init__(self, sealed: SealedSource, domain: Domain) -> None:
        self.sealed = sealed
        self._domain = domain

    @property
    def name(self) -> str:
        return self.sealed.name

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk's content, proved. Raises ChunkMissing, CorruptChunk, or what ails the place."""
        return only(self.get_many([chunk_id]), chunk_id, self.name)

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        """Those of the chunks that are there."""
        for chunk_id, found in self.sealed.find(ids):
            yield chunk_id, found if isinstance(found, CorruptChunk) else self._opened(found)

    def _opened(self, found: SealedChunk) -> bytes | CorruptChunk:
        try:
            return open_chunk(self._domain, found.entry, found.body)
        except CorruptChunk as error:
            return error


def only(given: Iterator[Given], chunk_id: ChunkId, name: str) -> bytes:
    """The one chunk that was asked for, when all is given: an answer that is read to its end leaves a connection to be
    used again. Raises ChunkMissing, CorruptChunk."""
    content = dict(given).get(chunk_id)
    if content is None:
        raise ChunkMissing(f"chunk {chunk_id.hex()[:12]} is not in {name}")
    if isinstance(content, CorruptChunk):
        raise content
    return content
