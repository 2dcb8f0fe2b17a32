"""Which versions of a parcel stay, in the terms that checkpoints have too: the newest ones, and the last one of each of
the newest days that have any. Which came later is told by the versions' numbers; clocks only tell the days.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

DAY_SECONDS = 86400


@dataclass(frozen=True)
class Kept:
    """``last``: so many of the newest; ``daily``: the last one of each of so many days (UTC)."""

    last: int = 0
    daily: int = 0


@dataclass(frozen=True)
class Dated:
    """A version. ``taken_at``: seconds since 1970 by the clock of the PC; None: not known, and it stays."""

    number: int
    taken_at: int | None


def to_forget(versions: Collection[Dated], kept: Kept) -> list[int]:
    """The numbers that the policy lets go, oldest first; never the newest."""
    newest = sorted(versions, key=lambda version: version.number, reverse=True)
    stay = {version.number for version in newest[: max(1, kept.last)]}
    stay |= {version.number for version in newest if version.taken_at is None}
    last_of_days: dict[int, int] = {}
    for version in newest:
        if version.taken_at is not None:
            last_of_days.setdefault(version.taken_at // DAY_SECONDS, version.number)
    stay |= set(sorted(last_of_days.values(), reverse=True)[: kept.daily])
    return sorted(version.number for version in versions if version.number not in stay)
