"""What a device holds after the power was cut: all that a completed flush covers, and chance decides on the rest.

What was written after the last flush may be on the device or not, in any order, in whole or sector by sector; a sector
itself is never torn, because XFS is made for sectors of the device's size and relies on that.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from soulpad.base.run import run
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES
from tests.powercut.blocklog import BlockLog, Entry

SECTOR_BYTES = ENCRYPTION_SECTOR_BYTES


@dataclass(frozen=True)
class Cut:
    """The power goes when ``told`` entries were told to the device. ``seed``: of all that chance decides then."""

    phase: str
    told: int
    seed: int


@dataclass(frozen=True)
class Span:
    """A part of the log that belongs to a phase: the cuts after ``first`` to ``last`` entries."""

    phase: str
    first: int
    last: int

    @property
    def points(self) -> range:
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class Verdict:
    """``outcome``: what the next start did, in a few words. ``violations``: what must not be; none is well."""

    cut: Cut
    outcome: str
    violations: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """Bytes of the log that reach the device."""

    offset_bytes: int
    length_bytes: int
    data_at: int


def plan_cuts(spans: Sequence[Span], count: int, seed: int) -> list[Cut]:
    """Cuts at ``count`` different points (all of them if there are fewer), in the order of the log.

    Phases are cut alike; one with too few points for its share is cut at the same ones again, with another outcome of
    chance, on top of ``count``.
    """
    chance = random.Random(seed)
    points: dict[str, list[int]] = {}
    for span in spans:
        points.setdefault(span.phase, []).extend(span.points)
    level = _level([len(all_points) for all_points in points.values()], count)
    share = -(-count // len(points))
    chosen: list[tuple[int, str]] = []
    for phase, all_points in points.items():
        rounds, rest = divmod(max(share, min(level, len(all_points))), len(all_points))
        chosen += [(point, phase) for point in all_points * rounds + chance.sample(all_points, rest)]
    return [Cut(phase, told, chance.getrandbits(32)) for told, phase in sorted(chosen)]


def _level(sizes: Sequence[int], count: int) -> int:
    """How many each may give at most, so that together they give ``count``; small ones give all they have."""
    return next((level for level in range(max(sizes)) if sum(min(size, level) for size in sizes) >= count), max(sizes))


def covered_by_flush(entries: Sequence[Entry], told: int, ignored: int = 0) -> int:
    """How many of the first ``told`` entries a flush covers, when the last ``ignored`` flushes did nothing."""
    flushes = (index + 1 for index in reversed(range(told)) if entries[index].is_flush)
    return next(islice(flushes, ignored, None), 0)


def survivors(window: Sequence[Entry], chance: random.Random) -> list[Piece]:
    """Which of the writes that no flush covers reach the device, in the order in which they do."""
    pieces = [Piece(entry.offset_bytes, entry.length_bytes, entry.data_at) for entry in window if not entry.is_flush]
    return chance.choice(list(LOSSES.values()))(pieces, chance)


def _nothing_lost(pieces: list[Piece], _chance: random.Random) -> list[Piece]:
    return pieces


def _all_lost(_pieces: list[Piece], _chance: random.Random) -> list[Piece]:
    return []


def _writes_lost(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    return [piece for piece in pieces if chance.random() < 0.5]


def _sectors_lost(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    share = chance.choice((0.1, 0.5, 0.9))
    return [sector for sector in _sectors(pieces) if chance.random() < share]


def _reordered(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    """Of two writes to one sector the earlier one may be what stays."""
    sectors = [sector for sector in _sectors(pieces) if chance.random() < 0.7]
    chance.shuffle(sectors)
    return sectors


Loss = Callable[[list[Piece], random.Random], list[Piece]]
LOSSES: Mapping[str, Loss] = {
    "nothing": _nothing_lost,
    "all": _all_lost,
    "writes": _writes_lost,
    "sectors": _sectors_lost,
    "reordered": _reordered,
}


def _sectors(pieces: list[Piece]) -> list[Piece]:
    return [
        Piece(piece.offset_bytes + at, min(SECTOR_BYTES, piece.length_bytes - at), piece.data_at + at)
        for piece in pieces
        for at in range(0, piece.length_bytes, SECTOR_BYTES)
    ]


class Device:
    """A device that lived through the log up to some point. ``base`` is changed; cuts must come in order.

    ``ignored_flushes``: a broken device acknowledges so many flushes that it has not carried out.
    """

    def __init__(self, base: Path, log: BlockLog, ignored_flushes: int = 0) -> None:
        self._base, self._log, self._ignored_flushes = base, log, ignored_flushes
        self._applied = 0

    def cut(self, cut: Cut, target: Path) -> Path:
        """Makes ``target`` what the device holds after the cut."""
        entries = self._log.entries
        covered = covered_by_flush(entries, cut.told, self._ignored_flushes)
        self._write(self._base, [Piece(e.offset_bytes, e.length_bytes, e.data_at) for e in self._passed(covered)])
        copy_sparsely(self._base, target)
        self._write(target, survivors(entries[covered : cut.told], random.Random(cut.seed)))
        return target

    def _passed(self, covered: int) -> Sequence[Entry]:
        passed = self._log.entries[self._applied : covered]
        self._applied = max(self._applied, covered)
        return passed

    def _write(self, image: Path, pieces: Sequence[Piece]) -> None:
        descriptor = os.open(image, os.O_RDWR)
        try:
            for piece in pieces:
                os.pwrite(descriptor, self._log.data(piece.data_at, piece.length_bytes), piece.offset_bytes)
        finally:
            os.close(descriptor)


def copy_sparsely(source: Path, target: Path) -> None:
    """A copy whose holes are holes; the log of a new XFS is nothing but zeros."""
    run(["cp", "--sparse=always", source, target])
