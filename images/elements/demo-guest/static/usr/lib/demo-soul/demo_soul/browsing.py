"""Memory as a browser has it: a few heaps, most of them cold, and a hot part in small pieces that is gone round all the
time. A quarter of the hot pieces is rewritten in each round, and every piece is checked."""

from __future__ import annotations

import mmap
from _sha3 import shake_128  # type: ignore[import-not-found]  # hashlib would load OpenSSL
from collections.abc import Generator

MIB = 1 << 20
HEAPS = 6
SLOT_BYTES = 1 << 16
PIECE_BYTES = (4096, 65536, 8192, 32768, 16384)
REWRITTEN_EVERY = 4
_STRIDE = 40507  # about the golden ratio of 2**16, and prime: pieces that follow each other lie far apart


class Browsing:
    """``mib`` of heaps together, ``hot_mib`` of it hot; nothing is there before ``open``."""

    def __init__(self, mib: int, hot_mib: int) -> None:
        self.mib = mib
        self.rounds = 0
        self._heaps: list[mmap.mmap] = []
        self._content = b""
        self._pieces = hot_pieces(mib, hot_mib)

    def open(self) -> Generator[None, None, str]:
        """Makes and fills the heaps, a MiB a step."""
        self._content = shake_128(b"pages").digest(MIB) * 2
        for size_mib in heap_sizes(self.mib):
            heap = mmap.mmap(-1, size_mib * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._heaps.append(heap)
            for at in range(0, len(heap), MIB):
                heap[at : at + MIB] = self._written(0, at, MIB)
                yield
        return "browsing"

    def go_round(self) -> Generator[None, None, bool]:
        """Once through all that is hot, a piece a step; returns whether all of it was as it was left."""
        self.rounds += 1
        sound = True
        for index, (number, at, length) in enumerate(self._pieces):
            heap, rewritten = self._heaps[number], index % REWRITTEN_EVERY == 0
            sound &= heap[at : at + length] == self._written(self.rounds - 1 if rewritten else 0, at, length)
            if rewritten:
                heap[at : at + length] = self._written(self.rounds, at, length)
            yield
        return sound

    def _written(self, turn: int, at: int, length: int) -> bytes:
        """What a round writes there: never what an earlier one did, so that whoever compares sees that it was."""
        first = (at + turn * 8) % MIB
        return self._content[first : first + length]

    def damage(self) -> None:
        """For tests: flips a bit of what is hot."""
        number, at, _ = self._pieces[1]
        self._heaps[number][at] ^= 1


def heap_sizes(mib: int) -> list[int]:
    """The heaps' MiB: each half of what is left, as one page of many is the large one; none is empty."""
    sizes = []
    for _ in range(HEAPS - 1):
        sizes.append((mib - sum(sizes) + 1) // 2)
    return [size for size in (*sizes, mib - sum(sizes)) if size]


def hot_pieces(mib: int, hot_mib: int) -> list[tuple[int, int, int]]:
    """Heap, offset and length of each hot piece, scattered over all heaps; a slot has one at most."""
    places = [(number, at) for number, size in enumerate(heap_sizes(mib)) for at in range(0, size * MIB, SLOT_BYTES)]
    pieces: list[tuple[int, int, int]] = []
    left = hot_mib * MIB
    while left > 0 and len(pieces) < len(places):
        index = len(pieces)
        number, at = places[index * _STRIDE % len(places)]
        pieces.append((number, at, min(left, PIECE_BYTES[index % len(PIECE_BYTES)])))
        left -= pieces[-1][2]
    return pieces


def parse_browsing(text: str) -> tuple[int, int] | None:
    """``MIB HOT_MIB``, or None where that is nonsense. The hot part is a third at most: its pieces need places."""
    words = text.split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    mib, hot_mib = int(words[0]), int(words[1])
    return (mib, hot_mib) if 0 < hot_mib * 3 <= mib else None
