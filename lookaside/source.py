"""Where chunks come from. A stick, a folder, a DVD, a jukebox, a server and a cache are all a ChunkSource.

Whatever a source gives is proved by the chunk's id before anybody uses it; a source that lies, lacks chunks or breaks
down costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from lookaside.domain import ChunkId
from lookaside.errors import ChunkMissing, CorruptChunk, SourceUnusable
from soulpad.base.errors import SoulpadError

MOST_GARBLED_IN_ROW = 32  # of one source: then it is asked no more

Given = tuple[ChunkId, bytes | CorruptChunk]  # a chunk's content, proved by its id, or what is wrong with it


class ChunkSource(Protocol):
    """A place that may have chunks."""

    @property
    def name(self) -> str:
        """What people call it."""

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk's content, proved by its id. Raises ChunkMissing, CorruptChunk, or what ails the place."""


@runtime_checkable
class BatchSource(Protocol):
    """A ``ChunkSource`` that gives many chunks sooner than one after another."""

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        """Those of the chunks that it has, in any order; nothing of the others. Raises what ails the place, also after
        it gave some."""


@dataclass
class Tally:
    """What one source did: chunks and bytes of content that it gave, and how often it lacked, garbled or failed one."""

    chunks: int = 0
    content_bytes: int = 0
    missing: int = 0
    corrupt: int = 0
    failed: int = 0


@dataclass
class FirstOf:
    """Asks sources in turn and counts what came from where. A ``BatchSource``.

    A source that fails altogether, which is more than lacking a chunk, is asked no more: a medium that was pulled out
    or a host that hangs is not waited for a second time. Nor is one that garbles MOST_GARBLED_IN_ROW chunks in a row.
    """

    sources: list[ChunkSource]
    on_trouble: Callable[[str, SoulpadError], None] = lambda _name, _error: None
    name: str = "all sources"
    tallies: dict[str, Tally] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)
    _garbled_in_row: dict[str, int] = field(default_factory=dict)

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk from the first source that has it whole. Raises ChunkMissing when none has."""
        content = dict(self.get_many([chunk_id])).get(chunk_id)
        if isinstance(content, bytes):
            return content
        raise missing(chunk_id, self.sources, self._troubled())

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        """Each chunk from the first source that has it whole; nothing of those that none has."""
        wanted = dict.fromkeys(ids)
        for source in list(self.sources):
            if wanted and source.name not in self._given_up:
                for chunk_id, content in self._asked(source, list(wanted)):
                    del wanted[chunk_id]
                    yield chunk_id, content

    def _asked(self, source: ChunkSource, ids: Sequence[ChunkId]) -> Iterator[tuple[ChunkId, bytes]]:
        """What one source gives whole, counted."""
        tally = self.tallies.setdefault(source.name, Tally())
        unanswered = set(ids)
        try:
            for chunk_id, content in given_by(source, ids):
                if chunk_id not in unanswered:
                    continue
                unanswered.remove(chunk_id)
                if isinstance(content, CorruptChunk):
                    tally.corrupt += 1
                    self._garbled(source.name, content)
                    continue
                self._garbled_in_row[source.name] = 0
                tally.chunks += 1
                tally.content_bytes += len(content)
                yield chunk_id, content
        except (SoulpadError, OSError) as error:
            tally.failed += 1
            self._given_up.add(source.name)
            self.on_trouble(source.name, error if isinstance(error, SoulpadError) else unreadable(source.name, error))
            return
        tally.missing += len(unanswered)

    def _garbled(self, name: str, error: CorruptChunk) -> None:
        """Told of, and counted: of a source that garbles all, each chunk would cost the time to find that out."""
        self.on_trouble(name, error)
        self._garbled_in_row[name] = self._garbled_in_row.get(name, 0) + 1
        if self._garbled_in_row[name] >= MOST_GARBLED_IN_ROW:
            self._given_up.add(name)

    def _troubled(self) -> list[str]:
        """The sources that failed or garbled something."""
        tallies = ((source.name, self.tallies.get(source.name, Tally())) for source in self.sources)
        return [name for name, tally in tallies if tally.corrupt or tally.failed]

    def add(self, source: ChunkSource) -> None:
        """From now on it is asked as well, last; also when it was given up before."""
        self._given_up.discard(source.name)
        self._garbled_in_row[source.name] = 0
        self.sources.append(source)

    def remove(self, name: str) -> None:
        """From now on it is not asked."""
        self.sources = [source for source in self.sources if source.name != name]


def given_by(source: ChunkSource, ids: Sequence[ChunkId]) -> Iterator[Given]:
    """Those of the chunks that a source of either kind has. Raises what ails the place."""
    return source.get_many(ids) if isinstance(source, BatchSource) else one_by_one(source, ids)


def one_by_one(source: ChunkSource, ids: Sequence[ChunkId]) -> Iterator[Given]:
    """As ``get_many``, of a source that gives one chunk at a time."""
    for chunk_id in ids:
        try:
            content: bytes | CorruptChunk = source.get(chunk_id)
        except ChunkMissing:
            continue
        except CorruptChunk as error:
            content = error
        yield chunk_id, content


def unreadable(name: str, error: OSError) -> SourceUnusable:
    """The error for a place of which the system says that it cannot be read."""
    return SourceUnusable(f"{name} cannot be read: {error.strerror or error}.", "see whether it is still plugged in")


def missing(chunk_id: ChunkId, sources: Sequence[ChunkSource], trouble: Sequence[str]) -> ChunkMissing:
    """The error for a chunk that no source has."""
    asked = ", ".join(source.name for source in sources) or "nowhere"
    hint = f"not usable: {', '.join(trouble)}" if trouble else "add a source that has it"
    return ChunkMissing(f"A chunk ({chunk_id.hex()[:12]}) is nowhere to be found; asked: {asked}.", hint)
