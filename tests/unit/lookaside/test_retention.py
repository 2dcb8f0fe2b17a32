"""Which versions stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.retention import DAY_SECONDS, Dated, Kept, to_forget

DAY = DAY_SECONDS


def test_the_newest_ones_stay() -> None:
    assert to_forget([Dated(number, number) for number in range(5)], Kept(last=2)) == [0, 1, 2]


def test_the_last_one_of_each_of_the_newest_days_stays() -> None:
    taken = [0, 10, DAY, DAY + 5, 5 * DAY, 9 * DAY, 9 * DAY + 1]
    versions = [Dated(number, at) for number, at in enumerate(taken)]
    assert to_forget(versions, Kept(daily=3)) == [0, 1, 2, 5]


def test_a_clock_that_went_backwards_makes_no_later_version_an_older_one() -> None:
    versions = [Dated(0, 100 * DAY), Dated(1, 5), Dated(2, 6)]
    assert to_forget(versions, Kept(daily=1)) == [0, 1]


def test_a_version_whose_date_is_not_known_stays() -> None:
    assert to_forget([Dated(0, None), Dated(1, 5), Dated(2, 6)], Kept(last=1)) == [1]


@pytest.mark.parametrize("kept", [Kept(), Kept(last=1), Kept(daily=1)])
@given(st.dictionaries(st.integers(0, 50), st.integers(0, 20 * DAY), min_size=1))
def test_the_newest_always_stays(kept: Kept, taken: dict[int, int]) -> None:
    assert max(taken) not in to_forget([Dated(number, at) for number, at in taken.items()], kept)
