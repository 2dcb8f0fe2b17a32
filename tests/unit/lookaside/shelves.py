"""A chunk store in memory, and images of random shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

from lookaside.cutting import CHUNK_BYTES
from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing
from soulpad.base.secrets import Secret

DOMAIN = Domain(Secret(bytes(range(32))))


@dataclass
class MemoryStore:
    """Store and source at once."""

    name: str = "memory"
    chunks: dict[ChunkId, bytes] = field(default_factory=dict)

    def has(self, chunk_id: ChunkId) -> bool:
        return chunk_id in self.chunks

    def keep(self, chunk_id: ChunkId, content: bytes) -> None:
        self.chunks[chunk_id] = content

    def get(self, chunk_id: ChunkId) -> bytes:
        try:
            return self.chunks[chunk_id]
        except KeyError:
            raise ChunkMissing("not on this shelf") from None


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """An image of up to six chunks: zeros, repetitions and noise, of any size."""
    parts = draw(
        st.lists(
            st.one_of(
                st.integers(0, 2 * CHUNK_BYTES).map(bytes),
                st.tuples(st.binary(min_size=1, max_size=8), st.integers(1, CHUNK_BYTES // 8)).map(
                    lambda repeated: repeated[0] * repeated[1]
                ),
            ),
            max_size=3,
        )
    )
    return b"".join(parts)


def write_sparse(path: Path, content: bytes) -> None:
    """Writes ``content`` with holes where a block is all zeros."""
    with path.open("wb") as file:
        for start in range(0, len(content), 4096):
            block = content[start : start + 4096]
            if block.strip(b"\0"):
                file.seek(start)
                file.write(block)
        file.truncate(len(content))
