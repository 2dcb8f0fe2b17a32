"""Which packs go and which are rewritten, by what of them lives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lookaside.domain import ChunkId
from lookaside.pack import Entry, PackName


@dataclass(frozen=True)
class Plan:
    """``needless``: packs that no living chunk needs. ``rewritten``: packs of which little lives, and what that is."""

    needless: tuple[PackName, ...]
    rewritten: Mapping[PackName, Sequence[Entry]]


def planned(tables: Mapping[PackName, Sequence[Entry]], living: Collection[ChunkId], rewrite_below: float) -> Plan:
    """What is to be done. ``rewrite_below``: the share of a pack's bodies that must live for it to stay as it is. Where
    several packs have a living chunk, the one of which most lives keeps it."""
    kept: set[ChunkId] = set()
    needless, rewritten = [], {}
    for name in sorted(tables, key=lambda name: (-share(tables[name], living), name)):
        own = {entry.chunk_id: entry for entry in tables[name] if entry.chunk_id in living}
        own = {chunk_id: entry for chunk_id, entry in own.items() if chunk_id not in kept}
        kept.update(own)
        if not own:
            needless.append(name)
        elif body_bytes(own.values()) < rewrite_below * body_bytes(tables[name]):
            rewritten[name] = tuple(own.values())
    return Plan(tuple(needless), rewritten)


def share(table: Sequence[Entry], living: Collection[ChunkId]) -> float:
    """How much of a pack lives, from 0 to 1."""
    return body_bytes(entry for entry in table if entry.chunk_id in living) / max(1, body_bytes(table))


def body_bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.body_bytes for entry in entries)
