"""A checkpoint beside a session, and what a crash left being kept, cut off at every step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soulpad.session import live, retention
from soulpad.session.parcels import LiveRecord, Parcel
from soulpad.store.checkpoint import DEVICE_STATE_NAME, MANIFEST_NAME, RAM_NAME, expected_files
from tests.unit.parcel_store import (
    DISK_BYTES,
    NEW,
    OLD,
    STATE_BYTES,
    add_checkpoint,
    content,
    make_parcel,
    manifest_of,
    moments_in,
    require_whole,
    run_session,
    write_files,
)
from tests.unit.power import cut_off, durable_steps, steps_of

LATER = 9
"""What the guest writes after the checkpoint beside it."""


def running(root: Path) -> Parcel:
    """A session that came from OLD and is at NEW; QEMU keeps its device state to itself."""
    parcel = make_parcel(root)
    run_session(parcel)
    (parcel.paths.live / DEVICE_STATE_NAME).unlink()
    return parcel


def checkpoint(parcel: Parcel) -> None:
    """As the machine does it, and as QEMU saves into it."""
    staged = live.begin_checkpoint(parcel, NEW)
    (staged / DEVICE_STATE_NAME).write_bytes(content(NEW, STATE_BYTES))
    live.make_holes(live.complete_clones(live.clone_ahead(parcel, staged)))
    write_disk_and_ram(parcel, LATER)
    live.commit_beside(parcel, staged, manifest_of(NEW))
    live.note_generation(parcel, NEW)
    retention.prune(parcel)


def write_disk_and_ram(parcel: Parcel, moment: int) -> None:
    for name in live.running_files(parcel):
        path = parcel.paths.live / name
        path.write_bytes(content(moment, path.stat().st_size))


def at_each_step(root: Path, make: Callable[[Path], Parcel], act: Callable[[Parcel], object]) -> list[Parcel]:
    """Parcels on which the act was cut off before its first step, its second, ... and not at all."""
    rehearsed = make(root / "rehearsed")
    count = steps_of(lambda: act(rehearsed))
    parcels = [make(root / str(step)) for step in range(count + 1)]
    for step, parcel in enumerate(parcels):
        cut_off(lambda parcel=parcel: act(parcel), step)  # type: ignore[misc]
    return parcels


def record_of(parcel: Parcel) -> LiveRecord:
    record = parcel.live_record()
    assert record is not None
    return record


# --- a checkpoint beside the session


def test_a_power_cut_at_any_step_of_a_checkpoint_leaves_the_old_one_or_the_new_one_whole(tmp_path: Path) -> None:
    outcomes = []
    for parcel in at_each_step(tmp_path, running, checkpoint):
        require_whole(parcel, parcel.current_generation())
        live.adopt_finished_suspend(parcel)
        require_whole(parcel, parcel.current_generation())
        outcomes.append(parcel.current_generation())
    assert outcomes == sorted(outcomes) and set(outcomes) == {OLD, NEW}


def test_after_any_such_cut_the_session_is_one_that_was_cut_off_with_its_disk_as_it_was(tmp_path: Path) -> None:
    for parcel in at_each_step(tmp_path, running, checkpoint):
        live.adopt_finished_suspend(parcel)
        record = record_of(parcel)
        assert not record.clean and record.generation in (OLD, NEW)
        [moment] = {*(parcel.paths.live / "disk-0.img").read_bytes()}
        assert moment in (NEW, LATER)
        assert not (parcel.paths.live / MANIFEST_NAME).exists(), "it is no finished suspend"


def test_after_any_such_cut_nothing_unfinished_is_left_by_the_next_start(tmp_path: Path) -> None:
    for parcel in at_each_step(tmp_path, running, checkpoint):
        live.adopt_finished_suspend(parcel)
        assert [path.name for path in parcel.paths.checkpoints.iterdir() if not path.name.isdigit()] == []


def test_after_any_such_cut_both_ways_to_go_on_are_there_and_neither_loses_the_other(tmp_path: Path) -> None:
    for parcel in at_each_step(tmp_path, running, checkpoint):
        live.adopt_finished_suspend(parcel)
        current, disk = parcel.current_generation(), (parcel.paths.live / "disk-0.img").read_bytes()
        live.begin_live(parcel, parcel.current(), with_ram=True)
        require_whole(parcel, current)
        kept = parcel.verified(max(parcel.generations()))
        assert kept.occasion == "cut-off" and kept.generation > current
        assert (parcel.paths.checkpoint(kept.generation) / "disk-0.img").read_bytes() == disk
        assert live.adopt_finished_suspend(parcel) is None, "what was not chosen becomes current by no start"


def test_a_checkpoint_has_nothing_of_what_the_guest_wrote_after_it(tmp_path: Path) -> None:
    parcel = running(tmp_path)
    checkpoint(parcel)
    require_whole(parcel, NEW)
    assert {*(parcel.paths.live / RAM_NAME).read_bytes()} == {LATER}
    assert record_of(parcel) == LiveRecord(NEW, clean=False, began_at=record_of(parcel).began_at)


def test_a_checkpoint_s_files_are_durable_before_its_manifest_and_that_before_its_name(tmp_path: Path) -> None:
    parcel = running(tmp_path)
    staged = live.begin_checkpoint(parcel, NEW)
    (staged / DEVICE_STATE_NAME).write_bytes(content(NEW, STATE_BYTES))
    live.make_holes(live.complete_clones(live.clone_ahead(parcel, staged)))
    with durable_steps() as seen:
        live.commit_beside(parcel, staged, manifest_of(NEW))
    names, manifest = set(expected_files(manifest_of(NEW))), f".{MANIFEST_NAME}.partial -> {MANIFEST_NAME}"
    assert names <= set(seen[: seen.index(manifest)])
    assert seen.index(manifest) < seen.index(f".{NEW}.partial -> {NEW}") < seen.index(".current.partial -> current")


def test_what_an_unfinished_checkpoint_of_the_same_number_left_is_replaced(tmp_path: Path) -> None:
    parcel = running(tmp_path)
    stray = live.begin_checkpoint(parcel, NEW) / "stray"
    stray.touch()
    staged = live.begin_checkpoint(parcel, NEW)
    assert list(staged.iterdir()) == []
    assert staged.stat().st_mode & 0o777 == 0o711


def test_a_clone_that_fails_leaves_the_session_and_the_checkpoints_alone(tmp_path: Path) -> None:
    parcel = running(tmp_path)
    staged = live.begin_checkpoint(parcel, NEW)
    (parcel.paths.live / RAM_NAME).unlink()
    with pytest.raises(FileNotFoundError):
        live.make_holes(live.complete_clones(live.clone_ahead(parcel, staged)))
    assert parcel.generations() == [OLD]
    require_whole(parcel, OLD)


def test_a_note_without_a_session_is_no_session(tmp_path: Path) -> None:
    parcel = make_parcel(tmp_path)
    live.note_generation(parcel, NEW)
    assert parcel.live_record() is None and not parcel.paths.live.exists()


# --- what a crash left


def go_back(parcel: Parcel) -> None:
    live.begin_live(parcel, manifest_of(OLD), with_ram=True)


def disks_that_hold(parcel: Parcel, moment: int) -> list[Path]:
    """Where the guest's disk of a moment still is."""
    return [
        path for path in parcel.paths.folder.rglob("disk-0.img") if path.read_bytes() == content(moment, DISK_BYTES)
    ]


def crashed(root: Path) -> Parcel:
    parcel = make_parcel(root)
    run_session(parcel)
    return parcel


@pytest.mark.parametrize(
    "act", [live.keep_aside, lambda parcel: live.begin_live(parcel, manifest_of(OLD), with_ram=True)]
)
def test_a_power_cut_while_a_crash_is_cleared_up_loses_neither_its_disk_nor_the_checkpoint(
    tmp_path: Path, act: Callable[[Parcel], object]
) -> None:
    for parcel in at_each_step(tmp_path, crashed, act):
        require_whole(parcel, OLD)
        live.adopt_finished_suspend(parcel)
        require_whole(parcel, OLD)
        [disk] = disks_that_hold(parcel, NEW)
        record = parcel.live_record()
        if disk.parent == parcel.paths.live:
            assert record and not record.clean, "asked about at the next start"
        else:
            kept = parcel.verified(int(disk.parent.name))
            assert (kept.occasion, kept.kind, kept.parent) == ("cut-off", "disk-only", OLD)


@pytest.mark.parametrize(
    "act", [live.keep_aside, lambda parcel: live.begin_live(parcel, manifest_of(OLD), with_ram=True)]
)
def test_a_session_begins_after_any_such_cut_and_the_disk_is_kept(
    tmp_path: Path, act: Callable[[Parcel], object]
) -> None:
    for parcel in at_each_step(tmp_path, crashed, act):
        live.adopt_finished_suspend(parcel)
        live.begin_live(parcel, parcel.current(), with_ram=True)
        [disk] = disks_that_hold(parcel, NEW)
        assert parcel.verified(int(disk.parent.name)).occasion == "cut-off"
        assert record_of(parcel).clean and record_of(parcel).generation == OLD


def test_a_power_cut_while_a_session_begins_leaves_the_checkpoint_and_no_session_that_ran(tmp_path: Path) -> None:
    def begin(parcel: Parcel) -> None:
        live.begin_live(parcel, parcel.current(), with_ram=True)

    for parcel in at_each_step(tmp_path, make_parcel, begin):
        live.adopt_finished_suspend(parcel)
        require_whole(parcel, OLD)
        record = parcel.live_record()
        assert record is None or record.clean
        begin(parcel)
        assert record_of(parcel) == LiveRecord(OLD, clean=True, began_at=record_of(parcel).began_at)


def test_a_power_cut_while_clean_is_withdrawn_never_leaves_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    def begun(root: Path) -> Parcel:
        parcel = make_parcel(root)
        live.begin_live(parcel, parcel.current(), with_ram=True)
        return parcel

    found = [record_of(parcel).clean for parcel in at_each_step(tmp_path, begun, live.withdraw_clean)]
    assert found == sorted(found, reverse=True) and set(found) == {True, False}


def test_disks_of_a_session_whose_record_is_lost_are_kept(tmp_path: Path) -> None:
    parcel = crashed(tmp_path)
    parcel.paths.live_session.unlink()
    live.begin_live(parcel, parcel.current(), with_ram=True)
    [disk] = disks_that_hold(parcel, NEW)
    kept = parcel.verified(int(disk.parent.name))
    assert (kept.occasion, kept.parent) == ("cut-off", None)


def test_a_live_folder_with_no_disk_in_it_is_no_checkpoint(tmp_path: Path) -> None:
    parcel = make_parcel(tmp_path)
    parcel.paths.live.mkdir()
    live.begin_live(parcel, parcel.current(), with_ram=True)
    assert parcel.generations() == [OLD]


def test_a_session_whose_record_is_damaged_is_one_that_was_cut_off(tmp_path: Path) -> None:
    parcel = crashed(tmp_path)
    parcel.paths.live_session.write_bytes(b"\x00" * 40)
    assert not record_of(parcel).clean
    live.begin_live(parcel, parcel.current(), with_ram=True)
    assert len(disks_that_hold(parcel, NEW)) == 1


def test_what_was_kept_aside_is_newer_than_all_and_current_by_no_start(tmp_path: Path) -> None:
    parcel = crashed(tmp_path)
    add_checkpoint(parcel, 12)
    (parcel.paths.checkpoint(12) / RAM_NAME).unlink()
    assert live.keep_aside(parcel) == 13
    write_files(parcel.paths.live, 14)
    assert live.keep_aside(parcel) == 14
    assert live.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)
    assert moments_in(parcel.paths.checkpoint(OLD)) == {OLD}
