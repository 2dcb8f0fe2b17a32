"""How one checkpoint becomes the next, cut off at every step: what stands afterwards is the old one or the new one."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import CannotResume, StoreDamaged, UnknownFormat
from soulpad.session import parcels
from soulpad.session.parcels import LiveRecord, Parcel
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    MANIFEST_NAME,
    RAM_NAME,
    CheckpointManifest,
    SuspendedState,
    expected_files,
)
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription

UUID = "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90"
DISK_BYTES, RAM_BYTES, STATE_BYTES = 8192, 16384, 100
MACHINE = Machine(memory_mib=512, disks=(Disk("disk-0.img", DISK_BYTES),))
OLD, NEW = 4, 5


class PowerCut(BaseException):
    """Nothing in the code may catch it, as nothing catches a pulled plug."""


def content(moment: int, size_bytes: int) -> bytes:
    return bytes([moment]) * size_bytes


def manifest_of(moment: int) -> CheckpointManifest:
    state = SuspendedState(
        ram_bytes=RAM_BYTES,
        device_state_bytes=STATE_BYTES,
        device_state_sha256=hashlib.sha256(content(moment, STATE_BYTES)).hexdigest(),
        accelerator="kvm",
        vmm="QEMU 10.0.13",
        machine=MACHINE,
    )
    return CheckpointManifest(moment, moment - 1 if moment else None, 1763700000 + moment, (DISK_BYTES,), state)


def write_files(folder: Path, moment: int) -> None:
    folder.mkdir(exist_ok=True)
    for name, size_bytes in expected_files(manifest_of(moment)).items():
        (folder / name).write_bytes(content(moment, size_bytes))


def add_checkpoint(parcel: Parcel, moment: int) -> None:
    write_files(parcel.paths.checkpoint(moment), moment)
    (parcel.paths.checkpoint(moment) / MANIFEST_NAME).write_bytes(manifest_of(moment).encode())


def make_parcel(root: Path, current: int = OLD) -> Parcel:
    parcel = Parcel(ParcelPaths(root, UUID), ParcelDescription("work", MACHINE, UUID))
    parcel.paths.checkpoints.mkdir(parents=True)
    parcel.paths.description.write_bytes(parcel.description.encode())
    add_checkpoint(parcel, current)
    parcel.paths.current.write_text(f"{current}\n")
    return parcel


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    return make_parcel(tmp_path)


def run_session(parcel: Parcel) -> None:
    """The VM ran in live/ and was stopped: every live file is of the new moment."""
    parcels.begin_live(parcel, parcel.current(), with_ram=True)
    parcels.withdraw_clean(parcel)
    write_files(parcel.paths.live, NEW)


def suspend(parcel: Parcel) -> None:
    parcels.flush(parcel, manifest_of(NEW))
    parcels.commit(parcel, manifest_of(NEW))
    parcels.prune(parcel)


def moments_in(folder: Path) -> set[int]:
    """The moments that a checkpoint's files are from; more than one is a mixture."""
    names = expected_files(manifest_of(NEW))
    return {byte for name in names for byte in (folder / name).read_bytes()}


def require_whole(parcel: Parcel, moment: int) -> None:
    assert parcel.current() == manifest_of(moment)
    assert moments_in(parcel.paths.checkpoint(moment)) == {moment}


@contextmanager
def power(cut_before_step: int | None) -> Iterator[list[str]]:
    """Counts what changes the disk (fsync, rename, unlink); the plug is pulled before the given step."""
    steps: list[str] = []

    def counted(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if len(steps) == cut_before_step:
                raise PowerCut
            steps.append(name)
            return act(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", counted("fsync", os.fsync))
        patch.setattr(Path, "replace", counted("rename", Path.replace))
        patch.setattr(Path, "unlink", counted("unlink", Path.unlink))
        yield steps


def outcome_of_cut(parcel: Parcel, step: int) -> int:
    """Suspends until the plug is pulled, starts again, and returns the moment that is current then."""
    run_session(parcel)
    with power(step), suppress(PowerCut):
        suspend(parcel)
    require_whole(parcel, parcel.current_generation())
    parcels.adopt_finished_suspend(parcel)
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
    for step in range(12):
        parcel = make_parcel(tmp_path / str(step))
        run_session(parcel)
        (parcel.paths.live / MANIFEST_NAME).write_bytes(manifest_of(NEW).encode())
        with power(step), suppress(PowerCut):
            parcels.adopt_finished_suspend(parcel)
        require_whole(parcel, parcel.current_generation())
        parcels.adopt_finished_suspend(parcel)
        require_whole(parcel, NEW)


def cut_in_commit(parcel: Parcel, patch: pytest.MonkeyPatch, target: object, name: str) -> None:
    def cut(*_arguments: object) -> None:
        raise PowerCut

    run_session(parcel)
    parcels.flush(parcel, manifest_of(NEW))
    with patch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(target, name, cut)
        parcels.commit(parcel, manifest_of(NEW))


def test_a_cut_before_the_manifest_is_durable_keeps_the_old_checkpoint_and_the_unclean_disk(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_in_commit(parcel, monkeypatch, parcels, "write_durably")
    assert parcels.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)
    record = parcel.live_record()
    assert record is not None and not record.clean and record.generation == OLD
    assert moments_in(parcel.paths.live) == {NEW}


def test_a_cut_after_the_manifest_is_durable_is_adopted_from_live(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_session(parcel)
    parcels.flush(parcel, manifest_of(NEW))
    with monkeypatch.context() as patched, pytest.raises(PowerCut), power(None):
        original = Path.replace

        def cut_at_live(self: Path, target: Path) -> Path:
            if self == parcel.paths.live:
                raise PowerCut
            return original(self, target)

        patched.setattr(Path, "replace", cut_at_live)
        parcels.commit(parcel, manifest_of(NEW))
    require_whole(parcel, OLD)
    assert parcels.adopt_finished_suspend(parcel) == NEW
    require_whole(parcel, NEW)
    assert parcel.live_record() is None


def test_a_cut_before_current_is_written_is_adopted_from_the_checkpoints(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_in_commit(parcel, monkeypatch, parcels, "set_current")
    require_whole(parcel, OLD)
    assert not parcel.paths.live.exists()
    assert parcels.adopt_finished_suspend(parcel) == NEW
    require_whole(parcel, NEW)


def test_an_undisturbed_suspend_leaves_nothing_to_adopt_and_no_live_files(parcel: Parcel) -> None:
    run_session(parcel)
    suspend(parcel)
    require_whole(parcel, NEW)
    assert parcels.adopt_finished_suspend(parcel) is None
    assert sorted(path.name for path in parcel.paths.folder.iterdir()) == ["checkpoints", "current", "parcel.json"]
    assert not (parcel.paths.checkpoint(NEW) / "session.json").exists()


def test_every_file_is_durable_before_a_manifest_vouches_for_it(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_session(parcel)
    durable: list[Path] = []
    monkeypatch.setattr(parcels, "fsync_path", durable.append)
    parcels.flush(parcel, manifest_of(NEW))
    assert {path.name for path in durable if path.parent == parcel.paths.live} == set(expected_files(manifest_of(NEW)))
    assert durable[-1] == parcel.paths.live


def test_a_newer_checkpoint_that_is_damaged_is_not_adopted(parcel: Parcel) -> None:
    add_checkpoint(parcel, NEW)
    (parcel.paths.checkpoint(NEW) / RAM_NAME).write_bytes(b"short")
    assert parcels.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)


def test_a_manifest_that_was_refused_once_never_vouches_for_what_a_cold_start_writes_later(parcel: Parcel) -> None:
    run_session(parcel)
    (parcel.paths.live / MANIFEST_NAME).write_bytes(manifest_of(NEW).encode())
    (parcel.paths.live / RAM_NAME).unlink()
    assert parcels.adopt_finished_suspend(parcel) is None
    (parcel.paths.live / RAM_NAME).write_bytes(bytes(RAM_BYTES))  # the cold start's RAM, of the same size
    assert parcels.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)
    assert parcel.live_record() == LiveRecord(OLD, clean=False, began_at=_began_at(parcel))


def _began_at(parcel: Parcel) -> int:
    record = parcel.live_record()
    assert record is not None
    return record.began_at


def test_the_checkpoint_itself_is_never_run(parcel: Parcel) -> None:
    live = parcels.begin_live(parcel, parcel.current(), with_ram=True)
    assert moments_in(parcel.paths.checkpoint(OLD)) == {OLD}
    for name in ("disk-0.img", RAM_NAME):
        assert (live / name).read_bytes() == (parcel.paths.checkpoint(OLD) / name).read_bytes()
        (live / name).write_bytes(b"the guest wrote this")
    require_whole(parcel, OLD)
    assert not (live / MANIFEST_NAME).exists() and not (live / DEVICE_STATE_NAME).exists()


def test_a_live_folder_is_clean_until_the_machine_runs(parcel: Parcel) -> None:
    parcels.begin_live(parcel, parcel.current(), with_ram=False)
    record = parcel.live_record()
    assert record is not None and record.clean and record.generation == OLD
    parcels.withdraw_clean(parcel)
    assert parcel.live_record() == replace(record, clean=False)


def test_without_ram_only_the_disks_are_cloned(parcel: Parcel) -> None:
    live = parcels.begin_live(parcel, parcel.current(), with_ram=False)
    assert sorted(path.name for path in live.iterdir()) == ["disk-0.img", "session.json"]


def test_a_clean_live_folder_and_a_half_cloned_one_are_replaced(parcel: Parcel) -> None:
    parcels.begin_live(parcel, parcel.current(), with_ram=True)
    partial = parcel.paths.folder / "live.partial"
    partial.mkdir()
    (partial / "stray").touch()
    live = parcels.begin_live(parcel, parcel.current(), with_ram=False)
    assert not partial.exists() and not parcel.paths.kept.exists()
    assert not (live / RAM_NAME).exists() and not (live / "stray").exists()


def test_what_a_crashed_machine_wrote_is_kept_aside_when_another_session_begins(parcel: Parcel) -> None:
    run_session(parcel)
    parcels.begin_live(parcel, parcel.current(), with_ram=True)
    [kept] = parcel.paths.kept.iterdir()
    assert moments_in(kept) == {NEW}
    record = parcel.live_record()
    assert record is not None and record.clean


def test_a_clone_that_fails_leaves_what_was_in_live(parcel: Parcel) -> None:
    run_session(parcel)
    (parcel.paths.checkpoint(OLD) / RAM_NAME).unlink()
    with pytest.raises(Exception, match="cp"):
        parcels.begin_live(parcel, manifest_of(OLD), with_ram=True)
    assert moments_in(parcel.paths.live) == {NEW}


def test_a_session_without_a_record_is_not_started(parcel: Parcel) -> None:
    parcel.paths.live.mkdir()
    with pytest.raises(StoreDamaged):
        parcels.withdraw_clean(parcel)


def test_crashes_in_the_same_second_are_kept_side_by_side(parcel: Parcel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "20251121-084000")
    targets = []
    for moment in (1, 2, 3):
        write_files(parcel.paths.live, moment)
        targets.append(parcels.keep_aside(parcel))
        assert not parcel.paths.live.exists()
    assert len(set(targets)) == 3
    assert [moments_in(target) for target in targets] == [{1}, {2}, {3}]


@pytest.mark.parametrize("current", [0, 1, 5, 6, 7])
def test_pruning_keeps_the_newest_three_and_the_current_one(tmp_path: Path, current: int) -> None:
    parcel = make_parcel(tmp_path, current)
    for moment in range(8):
        add_checkpoint(parcel, moment)
    parcels.prune(parcel)
    assert parcel.generations() == sorted({5, 6, 7, current})
    require_whole(parcel, current)


def test_generations_are_ordered_as_numbers(tmp_path: Path) -> None:
    parcel = make_parcel(tmp_path, 9)
    for moment in (10, 11, 12):
        add_checkpoint(parcel, moment)
    (parcel.paths.checkpoints / "lost+found").mkdir()
    assert parcel.generations() == [9, 10, 11, 12]


@pytest.mark.parametrize("words", [None, "", "five\n"])
def test_a_parcel_that_does_not_name_its_current_checkpoint_is_refused(parcel: Parcel, words: str | None) -> None:
    parcel.paths.current.unlink()
    if words is not None:
        parcel.paths.current.write_text(words)
    with pytest.raises(StoreDamaged, match="which checkpoint is current"):
        parcel.current()


def overwrite(name: str, offset: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek(offset)
            file.write(b"\xff")

    return damage


def truncated(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - 1)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated RAM": truncated(RAM_NAME),
    "truncated disk": truncated("disk-0.img"),
    "truncated device state": truncated(DEVICE_STATE_NAME),
    "grown RAM": lambda folder: os.truncate(folder / RAM_NAME, RAM_BYTES + 1),
    "missing RAM": lambda folder: (folder / RAM_NAME).unlink(),
    "missing disk": lambda folder: (folder / "disk-0.img").unlink(),
    "missing device state": lambda folder: (folder / DEVICE_STATE_NAME).unlink(),
    "missing manifest": lambda folder: (folder / MANIFEST_NAME).unlink(),
    "flipped first byte of the device state": overwrite(DEVICE_STATE_NAME, 0),
    "flipped last byte of the device state": overwrite(DEVICE_STATE_NAME, STATE_BYTES - 1),
    "another generation's manifest": lambda folder: _write(folder / MANIFEST_NAME, manifest_of(NEW).encode()),
}


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_checkpoint_that_is_not_whole_is_refused_and_left_alone(
    parcel: Parcel, damage: Callable[[Path], None]
) -> None:
    folder = parcel.paths.checkpoint(OLD)
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CannotResume):
        parcel.current()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not parcel.paths.live.exists()


@pytest.mark.parametrize(
    ("foreign", "refusal"),
    [
        (b"", StoreDamaged),
        (b"\xff\xfe", StoreDamaged),
        (b"[]", StoreDamaged),
        (ParcelDescription("work", MACHINE).encode(), UnknownFormat),
        (manifest_of(OLD).encode().replace(b"soulpad-checkpoint/1", b"soulpad-checkpoint/2"), UnknownFormat),
        (manifest_of(OLD).encode().replace(b'"suspended",', b'"disk-only",'), StoreDamaged),
    ],
)
def test_a_foreign_manifest_is_refused(parcel: Parcel, foreign: bytes, refusal: type[Exception]) -> None:
    (parcel.paths.checkpoint(OLD) / MANIFEST_NAME).write_bytes(foreign)
    with pytest.raises(refusal):
        parcel.current()


def test_a_checkpoint_of_another_machine_is_refused(parcel: Parcel) -> None:
    manifest = parcel.current()
    assert parcels.require_disks(parcel, manifest) is manifest
    for disk_bytes in ((), (DISK_BYTES + 512,), (DISK_BYTES, DISK_BYTES)):
        with pytest.raises(CannotResume, match="other disks"):
            parcels.require_disks(parcel, replace(manifest, disk_bytes=disk_bytes))


def test_parcels_are_found_by_name(tmp_path: Path) -> None:
    for name, uuid in (("work", "1"), ("home", "2")):
        paths = ParcelPaths(tmp_path, uuid)
        paths.folder.mkdir(parents=True)
        paths.description.write_bytes(ParcelDescription(name, MACHINE, uuid).encode())
    assert [parcel.description.name for parcel in parcels.parcels_in(tmp_path)] == ["home", "work"]


def test_a_store_without_parcels_and_a_parcel_without_description_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match="no parcel"):
        parcels.parcels_in(tmp_path)
    ParcelPaths(tmp_path, UUID).folder.mkdir(parents=True)
    with pytest.raises(StoreDamaged, match="no description"):
        parcels.parcels_in(tmp_path)


def test_a_clone_has_the_bytes_and_the_mode_of_its_source(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(100_000) + b"end")
    source.chmod(0o600)
    parcels.clone(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
