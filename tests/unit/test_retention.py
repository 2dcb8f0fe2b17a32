"""Which checkpoints stay: whatever happened, the current one, the newest sessions, and a way back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulpad.session import live, retention
from soulpad.session.parcels import Parcel
from soulpad.session.retention import DAY_SECONDS, last_of_days, sacrifices, to_remove
from soulpad.store.checkpoint import MANIFEST_NAME, OCCASIONS, RAM_NAME, CheckpointManifest, Occasion
from tests.unit.parcel_store import add_checkpoint, make_parcel, manifest_of, moments_in, require_whole, state_of
from tests.unit.power import cut_off, steps_of

NOON = 1763640000
SESSIONS: tuple[Occasion, ...] = ("created", "suspend", "shut-down")


def made(generation: int, occasion: Occasion = "suspend", at: int = NOON) -> CheckpointManifest:
    return CheckpointManifest(generation, None, at, (512,), occasion=occasion)


def generations(found: Sequence[CheckpointManifest]) -> list[int]:
    return [manifest.generation for manifest in found]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[CheckpointManifest], int]:
    """Checkpoints in any order, by clocks that were ever so wrong, and which one is current."""
    names = draw(st.lists(st.integers(0, 200), min_size=1, max_size=40, unique=True))
    moments = st.integers(0, 60 * DAY_SECONDS)
    occasions = st.sampled_from(OCCASIONS)
    found = [made(name, cast(Occasion, draw(occasions)), draw(moments)) for name in names]
    return found, draw(st.sampled_from(names))


# --- the policy


@given(histories())
def test_the_current_one_never_goes(history: tuple[list[CheckpointManifest], int]) -> None:
    found, current = history
    assert current not in to_remove(found, current)


@given(histories())
def test_what_goes_is_there_named_once_and_oldest_first(history: tuple[list[CheckpointManifest], int]) -> None:
    found, current = history
    gone = to_remove(found, current)
    assert gone == sorted(set(gone)) and set(gone) <= set(generations(found))


@given(histories())
def test_the_newest_of_each_kind_stay(history: tuple[list[CheckpointManifest], int]) -> None:
    found, current = history
    gone = set(to_remove(found, current))
    newest = sorted(found, key=lambda manifest: -manifest.generation)
    for occasions, count in ((SESSIONS, 3), (("while-running",), 1), (("cut-off",), 3)):
        of_kind = [manifest.generation for manifest in newest if manifest.occasion in occasions]
        assert not gone & set(of_kind[:count])


@given(histories())
def test_the_order_in_which_they_are_found_is_of_no_account(history: tuple[list[CheckpointManifest], int]) -> None:
    found, current = history
    assert to_remove(found, current) == to_remove(list(reversed(found)), current)
    assert sacrifices(found, current) == sacrifices(list(reversed(found)), current)


@given(histories())
def test_what_is_pruned_once_is_pruned_for_good(history: tuple[list[CheckpointManifest], int]) -> None:
    found, current = history
    gone = to_remove(found, current)
    assert to_remove([manifest for manifest in found if manifest.generation not in gone], current) == []


@given(histories())
def test_what_stays_is_bounded(history: tuple[list[CheckpointManifest], int]) -> None:
    found, current = history
    stays = len(found) - len(to_remove(found, current))
    assert stays <= 1 + retention.SESSIONS + retention.WHILE_RUNNING + retention.CUT_OFF + retention.DAYS


@given(histories(), st.integers(0, 60 * DAY_SECONDS))
def test_a_clock_that_jumps_keeps_the_newest_session_of_all(
    history: tuple[list[CheckpointManifest], int], at: int
) -> None:
    found, current = history
    newest = made(201, at=at)
    assert 201 not in to_remove([*found, newest], current)
    assert newest in last_of_days([*found, newest])


def test_of_many_checkpoints_of_one_day_beside_a_session_the_last_stays() -> None:
    found = [made(1), *(made(number, "while-running") for number in range(2, 30))]
    assert to_remove(found, 29) == list(range(2, 29))


def test_the_last_one_of_each_of_seven_days_stays_and_of_an_eighth_does_not() -> None:
    days = [NOON + day * DAY_SECONDS for day in range(9)]
    found = [made(10 * day + part, at=at + part) for day, at in enumerate(days) for part in (1, 2)]
    kept = set(generations(found)) - set(to_remove(found, 82))
    assert kept == {22, 32, 42, 52, 62, 72, 82, 81}


def test_days_without_a_session_are_not_counted() -> None:
    found = [made(number, at=NOON + 30 * number * DAY_SECONDS) for number in range(7)]
    assert to_remove(found, 6) == []


def test_a_pc_whose_clock_is_at_its_beginning_pushes_out_no_other_day() -> None:
    found = [made(number, at=NOON + number * DAY_SECONDS) for number in range(6)]
    found += [made(number, at=0) for number in range(6, 9)]
    assert to_remove(found, 8) == [], "three sessions and six days; the day of that PC is the seventh"


def test_the_newest_days_are_those_of_the_newest_checkpoints_whatever_the_clocks_said() -> None:
    found = [made(number, at=NOON + number * DAY_SECONDS) for number in range(1, 10)] + [made(10, at=0)]
    assert generations(last_of_days(found)) == [10, 9, 8, 7, 6, 5, 4]


def test_what_power_cuts_left_is_no_day_s_last() -> None:
    assert last_of_days([made(1)]) == [made(1)]
    cuts = [made(number, "cut-off", NOON + number * DAY_SECONDS) for number in range(2, 9)]
    assert to_remove([made(1), *cuts], 1) == [2, 3, 4, 5]


def test_of_nothing_nothing_goes() -> None:
    assert (to_remove([], 3), sacrifices([], 3), last_of_days([])) == ([], [], [])


# --- where room is short


@given(histories())
def test_neither_the_current_one_nor_the_newest_beside_it_is_sacrificed(
    history: tuple[list[CheckpointManifest], int],
) -> None:
    found, current = history
    gone = sacrifices(found, current)
    others = [item.generation for item in found if item.generation != current and item.occasion != "cut-off"]
    assert current not in gone
    assert not others or max(others) not in gone
    assert sorted(gone) == sorted(set(generations(found)) - {current, *sorted(others)[-1:]})


@given(histories())
def test_the_disks_that_power_cuts_left_go_last_and_of_each_kind_the_oldest_first(
    history: tuple[list[CheckpointManifest], int],
) -> None:
    found, current = history
    by_generation = {manifest.generation: manifest for manifest in found}
    kinds = [by_generation[generation].occasion for generation in sacrifices(found, current)]
    ranks = [{"while-running": 0, "cut-off": 2}.get(kind, 1) for kind in kinds]
    ranked = list(zip(ranks, sacrifices(found, current), strict=True))
    assert ranked == sorted(ranked)


# --- on a disk


def occasion(parcel: Parcel, generation: int, occasion: Occasion) -> None:
    path = parcel.paths.checkpoint(generation) / MANIFEST_NAME
    path.write_bytes(replace(manifest_of(generation), occasion=occasion).encode())


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    made = make_parcel(tmp_path, 9)
    for generation in range(9):
        add_checkpoint(made, generation)
    return made


DAMAGES = {
    "truncated RAM": lambda folder: os.truncate(folder / RAM_NAME, 1),
    "missing manifest": lambda folder: (folder / MANIFEST_NAME).unlink(),
    "foreign manifest": lambda folder: (folder / MANIFEST_NAME).write_bytes(b"{}"),
    "missing": lambda folder: folder.rename(folder.parent.parent / "lost"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_nothing_goes_while_the_current_one_is_not_whole(parcel: Parcel, damage: object) -> None:
    assert callable(damage)
    damage(parcel.paths.checkpoint(9))
    before = state_of(parcel.paths.root)
    assert retention.prune(parcel) == []
    assert state_of(parcel.paths.root) == before


def test_nothing_goes_while_nobody_knows_which_is_current(parcel: Parcel) -> None:
    parcel.paths.current.write_text("nine\n")
    assert retention.prune(parcel) == []
    assert parcel.generations() == list(range(10))


def test_a_stick_that_fails_after_the_commit_makes_no_failure_of_the_suspend(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        assert retention.prune(parcel) == [0, 1, 2, 3, 4, 5, 6], "what the policy lets go; it stays all the same"
    assert parcel.generations() == list(range(10))
    with monkeypatch.context() as patch:
        patch.setattr(Parcel, "current", fail)
        assert retention.prune(parcel) == []


def test_what_goes_is_reported_and_what_cannot_be_read_stays(parcel: Parcel) -> None:
    (parcel.paths.checkpoint(2) / MANIFEST_NAME).write_bytes(b"not ours")
    assert retention.prune(parcel) == [0, 1, 3, 4, 5, 6]
    assert parcel.generations() == [2, 7, 8, 9]
    require_whole(parcel, 9)


def test_a_checkpoint_that_another_thread_removed_is_gone_and_no_error(parcel: Parcel) -> None:
    retention.remove(parcel, 3)
    retention.remove(parcel, 3)
    assert 3 not in parcel.generations()
    assert not parcel.paths.checkpoint_in_removal(3).exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_what_goes_for_room_is_emptied_before_it_is_unlinked(parcel: Parcel, at_once: bool) -> None:
    with (parcel.paths.checkpoint(3) / RAM_NAME).open("rb") as ram:
        retention.remove(parcel, 3, at_once=at_once)
        assert (ram.read() == b"") is at_once


def test_a_removal_follows_no_link_out_of_its_checkpoint(parcel: Parcel, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"somebody's file")
    (parcel.paths.checkpoint(3) / "link").symlink_to(tmp_path / "outside")
    retention.remove(parcel, 3, at_once=True)
    assert (tmp_path / "outside").read_bytes() == b"somebody's file"
    assert not parcel.paths.checkpoint_in_removal(3).exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_power_cut_at_any_step_of_a_removal_leaves_a_whole_checkpoint_or_none(tmp_path: Path, at_once: bool) -> None:
    rehearsed = make_parcel(tmp_path / "rehearsed")
    add_checkpoint(rehearsed, 2)
    for step in range(steps_of(lambda: retention.remove(rehearsed, 2, at_once=at_once))):
        parcel = make_parcel(tmp_path / str(step))
        add_checkpoint(parcel, 2)
        cut_off(lambda parcel=parcel: retention.remove(parcel, 2, at_once=at_once), step)  # type: ignore[misc]
        if 2 in parcel.generations():
            assert moments_in(parcel.paths.checkpoint(2)) == {2}
        live.adopt_finished_suspend(parcel)
        assert not parcel.paths.checkpoint_in_removal(2).exists(), "the next start clears away what is left"
        require_whole(parcel, 4)
