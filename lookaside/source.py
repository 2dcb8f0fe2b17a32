"""Where chunks come from. A stick, a folder, a DVD, a jukebox, a server and a cache are all a ChunkSource.

Whatever a source gives is proved by the chunk's id before anybody uses it; a source that lies, lacks chunks or breaks
down costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lookaside.domain import ChunkId
from lookaside.errors import ChunkMissing, CorruptChunk
from soulpad.base.errors import SoulpadError


class ChunkSource(Protocol):
    """A place that may have chunks."""

    @property
    def name(self) -> str:
        """What people call it."""

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk's content, proved by its id. Raises ChunkMissing, CorruptChunk, or what ails the place."""


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
    """Asks sources in turn and counts what came from where. A source that fails altogether, which is more than lacking
    a chunk, is asked no more: a medium that was pulled out or a host that hangs is not waited for a second time."""

    sources: list[ChunkSource]
    on_trouble: Callable[[str, SoulpadError], None] = lambda _name, _error: None
    name: str = "all sources"
    tallies: dict[str, Tally] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)

    def get(self, chunk_id: ChunkId) -> bytes:
        """The chunk from the first source that has it whole. Raises ChunkMissing when none has."""
        trouble: list[str] = []
        for source in list(self.sources):
            if source.name in self._given_up:
                continue
            tally = self.tallies.setdefault(source.name, Tally())
            try:
                content = source.get(chunk_id)
            except ChunkMissing:
                tally.missing += 1
            except CorruptChunk as error:
                tally.corrupt += 1
                trouble.append(source.name)
                self.on_trouble(source.name, error)
            except SoulpadError as error:
                tally.failed += 1
                trouble.append(source.name)
                self._given_up.add(source.name)
                self.on_trouble(source.name, error)
            else:
                tally.chunks += 1
                tally.content_bytes += len(content)
                return content
        raise missing(chunk_id, self.sources, trouble)

    def add(self, source: ChunkSource) -> None:
        """From now on it is asked as well, last; also when it was given up before."""
        self._given_up.discard(source.name)
        self.sources.append(source)

    def remove(self, name: str) -> None:
        """From now on it is not asked."""
        self.sources = [source for source in self.sources if source.name != name]


def missing(chunk_id: ChunkId, sources: Sequence[ChunkSource], trouble: Sequence[str]) -> ChunkMissing:
    """The error for a chunk that no source has."""
    asked = ", ".join(source.name for source in sources) or "nowhere"
    hint = f"not usable: {', '.join(trouble)}" if trouble else "add a source that has it"
    return ChunkMissing(f"A chunk ({chunk_id.hex()[:12]}) is nowhere to be found; asked: {asked}.", hint)
