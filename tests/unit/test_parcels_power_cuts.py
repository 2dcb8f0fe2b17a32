"""How one checkpoint becomes the next, cut off at every step: what stands afterwards is the old one or the new one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from soulpad.session import live, retention
from soulpad.session.parcels import LiveRecord, Parcel
from soulpad.store.checkpoint import MANIFEST_NAME, RAM_NAME, expected_files
from tests.unit.parcel_store import (
    NEW,
    OLD,
    RAM_BYTES,
    add_checkpoint,
    make_parcel,
    manifest_of,
    moments_in,
    require_whole,
    run_session,
)
from tests.unit.power import PowerCut, power


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    return make_parcel(tmp_path)


def suspend(parcel: Parcel) -> None:
    live.flush(parcel.paths.live, manifest_of(NEW))
    live.commit(parcel, manifest_of(NEW))
    retention.prune(parcel)


def outcome_of_cut(parcel: Parcel, step: int) -> int:
    """Suspends until the plug is pulled, starts again, and returns the moment that is current then."""
    run_session(parcel)
    with power(step), suppress(PowerCut):
        suspend(parcel)
    require_whole(parcel, parcel.current_generation())
    live.adopt_finished_suspend(parcel)
    found = parcel.current_generation()
    require_whole(parcel, found)
    return found


def test_a_power_cut_at_any_step_of_a_suspend_leaves_the_old_checkpoint_or_the_new_one_whole(tmp_path: Path) -> None:
    whole = make_parcel(tmp_path / "whole")
    run_session(whole)
    with power(None) as steps:
        suspend(whole)
    outcomes = [outcome_of_cut(make_parcel(tmp_path / str(step)), step) for step in range(len(steps) + 1)]
    assert outcomes == sorted(outcomes), "a later cut must not lose what an earlier one keeps"
    assert set(outcomes) == {OLD, NEW}


def test_a_power_cut_at_any_step_of_adopting_is_made_up_for_by_adopting_again(tmp_path: Path) -> None:
    for step in range(16):
        parcel = make_parcel(tmp_path / str(step))
        run_session(parcel)
        (parcel.paths.live / MANIFEST_NAME).write_bytes(manifest_of(NEW).encode())
        with power(step), suppress(PowerCut):
            live.adopt_finished_suspend(parcel)
        require_whole(parcel, parcel.current_generation())
        live.adopt_finished_suspend(parcel)
        require_whole(parcel, NEW)


def cut_in_commit(parcel: Parcel, patch: pytest.MonkeyPatch, target: object, name: str) -> None:
    def cut(*_arguments: object) -> None:
        raise PowerCut

    run_session(parcel)
    live.flush(parcel.paths.live, manifest_of(NEW))
    with patch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(target, name, cut)
        live.commit(parcel, manifest_of(NEW))


def test_a_cut_before_the_manifest_is_durable_keeps_the_old_checkpoint_and_the_unclean_disk(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_in_commit(parcel, monkeypatch, live, "write_durably")
    assert live.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)
    record = parcel.live_record()
    assert record is not None and not record.clean and record.generation == OLD
    assert moments_in(parcel.paths.live) == {NEW}


def test_a_cut_after_the_manifest_is_durable_is_adopted_from_live(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_session(parcel)
    live.flush(parcel.paths.live, manifest_of(NEW))
    with monkeypatch.context() as patched, pytest.raises(PowerCut), power(None):
        original = Path.replace

        def cut_at_live(self: Path, target: Path) -> Path:
            if self == parcel.paths.live:
                raise PowerCut
            return original(self, target)

        patched.setattr(Path, "replace", cut_at_live)
        live.commit(parcel, manifest_of(NEW))
    require_whole(parcel, OLD)
    assert live.adopt_finished_suspend(parcel) == NEW
    require_whole(parcel, NEW)
    assert parcel.live_record() is None


def test_a_cut_before_current_is_written_is_adopted_from_the_checkpoints(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_in_commit(parcel, monkeypatch, live, "set_current")
    require_whole(parcel, OLD)
    assert not parcel.paths.live.exists()
    assert live.adopt_finished_suspend(parcel) == NEW
    require_whole(parcel, NEW)


def test_an_undisturbed_suspend_leaves_nothing_to_adopt_and_no_live_files(parcel: Parcel) -> None:
    run_session(parcel)
    suspend(parcel)
    require_whole(parcel, NEW)
    assert live.adopt_finished_suspend(parcel) is None
    assert sorted(path.name for path in parcel.paths.folder.iterdir()) == ["checkpoints", "current", "parcel.json"]
    assert not (parcel.paths.checkpoint(NEW) / "session.json").exists()


def test_every_file_is_durable_before_a_manifest_vouches_for_it(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_session(parcel)
    durable: list[Path] = []
    monkeypatch.setattr(live, "fsync_path", durable.append)
    live.flush(parcel.paths.live, manifest_of(NEW))
    assert {path.name for path in durable if path.parent == parcel.paths.live} == set(expected_files(manifest_of(NEW)))
    assert durable[-1] == parcel.paths.live


def test_a_newer_checkpoint_that_is_damaged_is_not_adopted(parcel: Parcel) -> None:
    add_checkpoint(parcel, NEW)
    (parcel.paths.checkpoint(NEW) / RAM_NAME).write_bytes(b"short")
    assert live.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)


def test_a_manifest_that_was_refused_once_never_vouches_for_what_a_cold_start_writes_later(parcel: Parcel) -> None:
    run_session(parcel)
    (parcel.paths.live / MANIFEST_NAME).write_bytes(manifest_of(NEW).encode())
    (parcel.paths.live / RAM_NAME).unlink()
    assert live.adopt_finished_suspend(parcel) is None
    (parcel.paths.live / RAM_NAME).write_bytes(bytes(RAM_BYTES))  # the cold start's RAM, of the same size
    assert live.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)
    assert parcel.live_record() == LiveRecord(OLD, clean=False, began_at=_began_at(parcel))


def _began_at(parcel: Parcel) -> int:
    record = parcel.live_record()
    assert record is not None
    return record.began_at
