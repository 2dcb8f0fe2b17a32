"""The document of a version, from the ids that stand for the base's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lookaside.domain import ChunkId
from lookaside.publicbase import PublicBase, note_by_number, numbers_of


def note_of(chunks: Sequence[ChunkId], public: Mapping[ChunkId, ChunkId], base: PublicBase) -> str:
    """The document of a version whose chunks, in order, are these, and ``public`` those that are the base's."""
    return note_by_number(chunks, numbers_of(public, base), base.domain, base.version)
