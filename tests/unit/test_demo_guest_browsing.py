"""The demo guest's browser: where its memory lies, what a round does, and that a changed byte is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.demo_program import module

MIB = 1 << 20


def opened(mib: int, hot_mib: int) -> Any:
    browsing = module("browsing").Browsing(mib, hot_mib)
    assert sum(1 for _ in browsing.open()) == mib
    return browsing


def sound(browsing: Any) -> bool:
    steps = browsing.go_round()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bool(end.value)


@pytest.mark.parametrize("mib", [3, 12, 200, 1024])
def test_the_heaps_are_all_of_the_memory_and_none_is_empty(mib: int) -> None:
    sizes = module("browsing").heap_sizes(mib)
    assert sum(sizes) == mib and min(sizes) > 0
    assert len(sizes) == min(6, len(sizes)) and sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("mib", "hot_mib"), [(3, 1), (200, 8), (1024, 40), (1024, 341)])
def test_the_hot_pieces_lie_apart_inside_their_heaps_and_are_as_much_as_was_asked_for(mib: int, hot_mib: int) -> None:
    browsing = module("browsing")
    pieces = browsing.hot_pieces(mib, hot_mib)
    sizes = browsing.heap_sizes(mib)
    assert sum(length for _, _, length in pieces) == hot_mib * MIB
    assert len({(heap, at // browsing.SLOT_BYTES) for heap, at, _ in pieces}) == len(pieces)
    assert all(0 < length <= browsing.SLOT_BYTES and at + length <= sizes[heap] * MIB for heap, at, length in pieces)
    assert {heap for heap, _, _ in pieces} == set(range(len(sizes)))


def test_round_after_round_finds_what_the_last_one_left() -> None:
    browsing = opened(6, 2)
    assert [sound(browsing) for _ in range(4)] == [True] * 4
    assert browsing.rounds == 4


def test_a_round_rewrites_a_quarter_of_what_is_hot_and_nothing_else() -> None:
    browsing = opened(6, 2)
    before = [bytes(heap) for heap in browsing._heaps]
    sound(browsing)
    changed = sum(
        heap[at : at + 4096] != then[at : at + 4096]
        for heap, then in zip(browsing._heaps, before, strict=True)
        for at in range(0, len(heap), 4096)
    )
    assert 0.2 < changed * 4096 / (2 * MIB) < 0.3


def test_no_round_writes_what_an_earlier_one_wrote() -> None:
    browsing = opened(6, 2)
    number, at, length = browsing._pieces[0]
    seen = set()
    for _ in range(6):
        seen.add(bytes(browsing._heaps[number][at : at + length]))
        sound(browsing)
    assert len(seen) == 6


def test_a_bit_that_changed_while_nobody_looked_is_noticed() -> None:
    browsing = opened(6, 2)
    sound(browsing)
    browsing.damage()
    assert not sound(browsing)
