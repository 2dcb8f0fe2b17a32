"""A block of memory with known content, made and checked in slices of 1 MiB.

Every 4 KiB page begins with a marker that can be searched for on a disk, and differs from every other page, so that
nothing can compress or share it away. What a block must hold follows from the session, its index and how often it was
rewritten: nothing has to be stored to check it.
"""

from __future__ import annotations

import mmap
from _sha3 import shake_128  # type: ignore[import-not-found]  # hashlib would load OpenSSL
from collections.abc import Iterator

MIB = 1 << 20
PAGE_BYTES = 4096
MARKER_BYTES = 128
_LANE_BYTES = 8


class Pattern:
    """``session`` is what the content is derived from; ``marker`` is cut to MARKER_BYTES.

    The slow methods are iterators that yield after each MiB, so that the caller stays responsive between.
    """

    def __init__(self, session: str, marker: str) -> None:
        self._session = session.encode()
        self._base = int.from_bytes(base_block(self._session, marker.encode()), "little")
        # Times a 64-bit number, this puts it into each lane of a block that is not part of a marker.
        page_lanes = bytes(MARKER_BYTES) + (1).to_bytes(_LANE_BYTES, "little") * ((PAGE_BYTES - MARKER_BYTES) // 8)
        self._lanes = int.from_bytes(page_lanes * (MIB // PAGE_BYTES), "little")
        self._memory: mmap.mmap | None = None
        self._rewritten: list[int] = []
        self._next_touched = 0
        self.checked_mib = 0
        self.passes = 0
        self.bad_blocks: set[int] = set()

    @property
    def mib(self) -> int:
        """How many MiB are filled."""
        return len(self._rewritten)

    @property
    def ok(self) -> bool:
        """Whether no block was ever found with another content than it must have."""
        return not self.bad_blocks

    def resize(self, mib: int) -> Iterator[None]:
        """Throws the memory away and fills ``mib`` MiB anew."""
        self._rewritten, self._next_touched = [], 0
        self.checked_mib, self.passes, self.bad_blocks = 0, 0, set()
        if self._memory:
            self._memory.close()
        self._memory = mmap.mmap(-1, mib * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if mib else None
        for index in range(mib):
            self._store(index, 0)
            self._rewritten.append(0)
            yield

    def touch(self, mib: int) -> Iterator[None]:
        """Writes new content into ``mib`` MiB, going round from where the last call ended."""
        for _ in range(mib if self.mib else 0):
            index = self._next_touched % self.mib
            self._store(index, self._rewritten[index] + 1)
            self._rewritten[index] += 1
            self._next_touched = index + 1
            yield

    def verify(self) -> Iterator[None]:
        """Checks all that is filled, once; then ``passes`` is one more."""
        index = 0
        while index < self.mib:
            self._check(index)
            index += 1
            yield
        self.passes += 1 if self.mib else 0

    def trickle(self) -> Iterator[None]:
        """Checks without end, from the first block to the last and again, a MiB a step."""
        while True:
            self.checked_mib = 0
            while self.checked_mib < self.mib:
                self._check(self.checked_mib)
                self.checked_mib += 1
                yield
            self.passes += 1 if self.mib else 0
            yield

    def block(self, index: int, rewritten: int) -> bytes:
        """The MiB that belongs at ``index`` after it was rewritten so often."""
        seed: bytes = shake_128(b"%s/%d/%d" % (self._session, index, rewritten)).digest(_LANE_BYTES)
        return (self._base ^ (self._lanes * int.from_bytes(seed, "little"))).to_bytes(MIB, "little")

    def damage(self, index: int) -> None:
        """Flips a bit in the middle of a block: how a test sees that a check can fail."""
        assert self._memory
        self._memory[index * MIB + MIB // 2 + MARKER_BYTES] ^= 1

    def _store(self, index: int, rewritten: int) -> None:
        assert self._memory
        self._memory[index * MIB : (index + 1) * MIB] = self.block(index, rewritten)

    def _check(self, index: int) -> None:
        assert self._memory
        if self._memory[index * MIB : (index + 1) * MIB] != self.block(index, self._rewritten[index]):
            self.bad_blocks.add(index)


def base_block(session: bytes, marker: bytes) -> bytes:
    """1 MiB: 256 pages, each the marker and then noise of its own."""
    head = marker[:MARKER_BYTES].ljust(MARKER_BYTES, b".")
    noise: bytes = shake_128(session).digest(MIB)
    pages = (noise[at + MARKER_BYTES : at + PAGE_BYTES] for at in range(0, MIB, PAGE_BYTES))
    return b"".join(head + page for page in pages)
