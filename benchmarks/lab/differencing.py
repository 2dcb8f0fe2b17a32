"""What plain differencing of memory costs: every page of 4 KiB that no earlier memory had, compressed by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import zstandard
from blake3 import blake3

from soulpad.base.units import KIB, MIB

PAGE_BYTES = 4 * KIB
_ZEROS = bytes(PAGE_BYTES)


def differenced_bytes(memories: Sequence[Path]) -> list[int]:
    """For each memory, what its pages that are in none before it take, by zstd at level 3."""
    seen = {blake3(_ZEROS).digest()}
    packer = zstandard.ZstdCompressor(level=3)
    totals = []
    for memory in memories:
        total = 0
        with memory.open("rb") as file:
            while content := file.read(MIB):
                for start in range(0, len(content), PAGE_BYTES):
                    page = content[start : start + PAGE_BYTES]
                    digest = blake3(page).digest()
                    if digest not in seen:
                        seen.add(digest)
                        total += min(len(packer.compress(page)), PAGE_BYTES)
        totals.append(total)
    return totals
