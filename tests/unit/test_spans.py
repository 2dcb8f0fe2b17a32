"""Stretches of a file: whatever is done with them, each byte is where it belongs."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest

from soulpad.base.spans import Span, both, bytes_in, pieces, union, without

LENGTH = 60


def points(spans: Iterable[Span]) -> set[int]:
    return {point for start, end in spans for point in range(start, end)}


def some(randomly: random.Random) -> list[Span]:
    starts = [randomly.randrange(LENGTH) for _ in range(randomly.randrange(6))]
    return [(start, min(LENGTH, start + randomly.randrange(9))) for start in starts]


def is_tidy(spans: list[Span]) -> bool:
    apart = all(before[1] < after[0] for before, after in pairwise(spans))
    return apart and all(start < end for start, end in spans)


@pytest.mark.parametrize("seed", range(200))
def test_bytes_are_in_what_is_joined_taken_away_or_common_as_in_sets(seed: int) -> None:
    randomly = random.Random(seed)
    first, second, third = some(randomly), some(randomly), some(randomly)
    joined = union(first, second)
    assert points(joined) == points(first) | points(second) and is_tidy(joined)
    left = without(joined, union(third))
    assert points(left) == points(joined) - points(third) and is_tidy(left)
    assert points(both(joined, union(third))) == points(joined) & points(third)
    assert bytes_in(left) == len(points(left))


def test_what_neighbours_becomes_one() -> None:
    assert union([(8, 12)], [(0, 4), (4, 8)]) == [(0, 12)]


def test_what_is_taken_away_may_reach_over_several() -> None:
    assert without([(0, 4), (6, 8), (9, 20)], [(2, 10), (12, 13)]) == [(0, 2), (10, 12), (13, 20)]


def test_pieces_are_short_and_leave_nothing_out() -> None:
    assert list(pieces([(3, 12), (20, 24)], 4)) == [(3, 7), (7, 11), (11, 12), (20, 24)]
