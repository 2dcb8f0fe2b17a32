"""What an emulated PC has read from and written to its disks (QEMU's query-blockstats)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BlockStatistics:
    """Of one disk, since power on. ``reads`` and ``writes`` are operations."""

    read_bytes: int
    written_bytes: int
    reads: int
    writes: int
    flushes: int


def parse_statistics(answer: Iterable[Mapping[str, Any]]) -> dict[str, BlockStatistics]:
    """QEMU's answer, by the name that the disk was plugged in with."""
    return {part.get("device") or part["node-name"]: _of_one_disk(part["stats"]) for part in answer if _is_named(part)}


def _is_named(part: Mapping[str, Any]) -> bool:
    return bool(part.get("device") or part.get("node-name"))


def _of_one_disk(stats: Mapping[str, int]) -> BlockStatistics:
    return BlockStatistics(
        read_bytes=stats["rd_bytes"],
        written_bytes=stats["wr_bytes"],
        reads=stats["rd_operations"],
        writes=stats["wr_operations"],
        flushes=stats["flush_operations"],
    )
