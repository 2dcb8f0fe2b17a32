"""A second parcel from a checkpoint: whole, independent, and there entirely or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulpad.base.errors import BadInput, NoSpace
from soulpad.session import branches, live
from soulpad.session.branches import FIRST_GENERATION, branch, clear_unfinished, name_of_branch
from soulpad.session.parcels import Parcel, parcels_in
from soulpad.store.checkpoint import DEVICE_STATE_NAME, MANIFEST_NAME, RAM_NAME, expected_files, identity_of
from soulpad.store.layout import PARCELS
from soulpad.store.parcel import check_name
from tests.unit.parcel_store import (
    NEW,
    OLD,
    add_checkpoint,
    commit_with_identity,
    make_parcel,
    manifest_of,
    moments_in,
    run_session,
    state_of,
    write_files,
)
from tests.unit.power import cut_off, durable_steps, steps_of

SECOND = "work (2)"


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    made = make_parcel(tmp_path)
    commit_with_identity(made, NEW)
    return made


@pytest.mark.parametrize("moment", [OLD, NEW])
def test_a_branch_has_the_files_of_its_moment_and_knows_them_as_its_own(parcel: Parcel, moment: int) -> None:
    second = branch(parcel, parcel.verified(moment), SECOND)
    manifest = second.current()
    folder = second.paths.checkpoint(FIRST_GENERATION)
    assert moments_in(folder) == {moment}
    assert manifest.identity == identity_of(folder, expected_files(manifest))
    expected = replace(manifest_of(moment), generation=FIRST_GENERATION, parent=None, identity=manifest.identity)
    assert manifest == expected
    assert second.generations() == [FIRST_GENERATION] and second.live_record() is None


def test_a_branch_is_the_same_machine_under_another_name_and_uuid(parcel: Parcel) -> None:
    second = branch(parcel, parcel.current(), SECOND)
    assert second.description == replace(parcel.description, name=SECOND, uuid=second.description.uuid)
    assert second.description.uuid != parcel.description.uuid
    assert [found.description for found in parcels_in(parcel.paths.root)] == [parcel.description, second.description]


def test_branching_changes_nothing_of_the_first(parcel: Parcel) -> None:
    run_session(parcel)
    before = state_of(parcel.paths.folder)
    branch(parcel, parcel.current(), SECOND)
    assert state_of(parcel.paths.folder) == before


def test_what_becomes_of_the_one_is_nothing_to_the_other(parcel: Parcel) -> None:
    second = branch(parcel, parcel.current(), SECOND)
    third = branch(second, second.current(), "work (3)")
    live.begin_live(second, second.current(), with_ram=True)
    write_files(second.paths.live, 77)
    write_files(parcel.paths.checkpoint(NEW), 88)
    shutil.rmtree(parcel.paths.folder)
    assert moments_in(second.paths.checkpoint(FIRST_GENERATION)) == {NEW}
    shutil.rmtree(second.paths.folder)
    assert third.current().generation == FIRST_GENERATION
    assert moments_in(third.paths.checkpoint(FIRST_GENERATION)) == {NEW}


def test_a_branch_of_a_disk_alone_is_a_disk_alone(parcel: Parcel) -> None:
    write_files(parcel.paths.live, 33)
    kept = live.keep_aside(parcel)
    second = branch(parcel, parcel.verified(kept), SECOND)
    assert (second.current().kind, second.current().occasion) == ("disk-only", "cut-off")
    files = {path.name for path in second.paths.checkpoint(FIRST_GENERATION).iterdir()}
    assert files == {"disk-0.img", MANIFEST_NAME}


def test_qemus_user_passes_through_a_branchs_folders_and_sees_nothing_in_them(parcel: Parcel) -> None:
    second = branch(parcel, parcel.current(), SECOND)
    folders = (second.paths.folder, second.paths.checkpoints, second.paths.checkpoint(FIRST_GENERATION))
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o711}
    for name in (RAM_NAME, "disk-0.img", DEVICE_STATE_NAME):
        assert (folders[-1] / name).stat().st_mode & 0o777 == 0o600


# --- names


@pytest.mark.parametrize("name", ["", " work", "work ", "two\nlines", "x" * 41])
def test_a_name_that_no_parcel_may_have_makes_nothing(parcel: Parcel, name: str) -> None:
    before = state_of(parcel.paths.root)
    with pytest.raises(BadInput):
        branch(parcel, parcel.current(), name)
    assert state_of(parcel.paths.root) == before


def test_the_first_free_number_is_taken() -> None:
    assert name_of_branch({"work"}, "work") == "work (2)"
    assert name_of_branch({"work", "work (2)", "work (4)"}, "work") == "work (3)"
    assert name_of_branch({"work (2)"}, "work (2)") == "work (2) (2)"


@given(st.text(min_size=1, max_size=40), st.integers(0, 60))
def test_whatever_its_parcel_is_called_a_branch_has_a_name_of_its_own(name: str, count: int) -> None:
    try:
        check_name(name)
    except BadInput:
        return
    taken = {name}
    for _ in range(count):
        found = name_of_branch(taken, name)
        assert check_name(found) not in taken
        taken.add(found)


# --- what a failure and a power cut leave


def test_a_store_that_is_full_makes_no_parcel(parcel: Parcel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, _target: Path) -> None:
        raise NoSpace("no space left")

    monkeypatch.setattr(branches, "clone", full)
    with pytest.raises(NoSpace):
        branch(parcel, parcel.current(), SECOND)
    assert [found.description.name for found in parcels_in(parcel.paths.root)] == ["work"]
    require_whole_beside(parcel)


def require_whole_beside(parcel: Parcel) -> None:
    """The first parcel is as it was, and a second can be made; nothing unfinished is left after the next start."""
    assert parcel.current().generation == NEW and moments_in(parcel.paths.checkpoint(NEW)) == {NEW}
    clear_unfinished(parcel.paths.root)
    names = [path.name for path in (parcel.paths.root / PARCELS).iterdir()]
    assert not [name for name in names if name.startswith(".")]


def test_a_power_cut_at_any_step_leaves_no_branch_or_a_whole_one(tmp_path: Path) -> None:
    def fresh(name: str) -> Parcel:
        made = make_parcel(tmp_path / name)
        commit_with_identity(made, NEW)
        return made

    rehearsed = fresh("rehearsed")
    manifest = rehearsed.current()
    outcomes = []
    for step in range(steps_of(lambda: branch(rehearsed, manifest, SECOND)) + 1):
        parcel = fresh(str(step))
        cut_off(lambda parcel=parcel: branch(parcel, parcel.current(), SECOND), step)  # type: ignore[misc]
        others = [found for found in parcels_in(parcel.paths.root) if found.paths.uuid != parcel.paths.uuid]
        for other in others:
            assert other.description.name == SECOND
            assert other.current().generation == FIRST_GENERATION
            assert moments_in(other.paths.checkpoint(FIRST_GENERATION)) == {NEW}
        require_whole_beside(parcel)
        outcomes.append(len(others))
    assert outcomes == sorted(outcomes) and set(outcomes) == {0, 1}


def test_all_of_a_branch_is_durable_before_it_has_its_name(parcel: Parcel) -> None:
    manifest = parcel.current()
    with durable_steps() as seen:
        second = branch(parcel, manifest, SECOND)
    before = seen[: seen.index(f".{second.paths.uuid}.partial -> {second.paths.uuid}")]
    assert {*expected_files(manifest), "0", "checkpoints", f".{second.paths.uuid}.partial"} <= set(before)
    assert {f".{name}.partial -> {name}" for name in (MANIFEST_NAME, "parcel.json", "current")} <= set(before)
    assert seen[-1] == PARCELS.name, "and then its name is"


def test_what_is_unfinished_hinders_no_later_branch_and_is_cleared_away_alone(parcel: Parcel) -> None:
    stray = parcel.paths.root / PARCELS / ".some-uuid.partial"
    add_checkpoint_to(stray)
    second = branch(parcel, parcel.current(), SECOND)
    before = state_of(second.paths.folder) | state_of(parcel.paths.folder)
    clear_unfinished(parcel.paths.root)
    assert not stray.exists()
    assert state_of(second.paths.folder) | state_of(parcel.paths.folder) == before


def add_checkpoint_to(stray: Path) -> None:
    (stray / "checkpoints" / "0").mkdir(parents=True)
    (stray / "checkpoints" / "0" / RAM_NAME).write_bytes(b"half")


def test_a_store_without_parcels_has_nothing_unfinished(tmp_path: Path) -> None:
    clear_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_branch_outlives_the_checkpoint_that_it_came_from(parcel: Parcel) -> None:
    add_checkpoint(parcel, 2)
    second = branch(parcel, parcel.verified(2), SECOND)
    shutil.rmtree(parcel.paths.checkpoint(2))
    assert moments_in(second.paths.checkpoint(FIRST_GENERATION)) == {2}
    assert second.current().generation == FIRST_GENERATION
    assert parcel.current().generation == NEW
