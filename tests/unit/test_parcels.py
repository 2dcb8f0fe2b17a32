"""What a parcel holds: its live folder, what is kept and pruned, and which checkpoints and parcels are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soulpad.base.errors import CannotResume, StoreDamaged, UnknownFormat
from soulpad.base.reflink import clone
from soulpad.session import live, parcels, retention
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import DEVICE_STATE_NAME, MANIFEST_NAME, RAM_NAME
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import ParcelDescription
from tests.unit.parcel_store import (
    DISK_BYTES,
    MACHINE,
    NEW,
    OLD,
    RAM_BYTES,
    STATE_BYTES,
    UUID,
    add_checkpoint,
    content,
    make_parcel,
    manifest_of,
    moments_in,
    require_whole,
    run_session,
    write_files,
)


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    return make_parcel(tmp_path)


def test_the_checkpoint_itself_is_never_run(parcel: Parcel) -> None:
    folder = live.begin_live(parcel, parcel.current(), with_ram=True)
    assert moments_in(parcel.paths.checkpoint(OLD)) == {OLD}
    for name in ("disk-0.img", RAM_NAME):
        assert (folder / name).read_bytes() == (parcel.paths.checkpoint(OLD) / name).read_bytes()
        (folder / name).write_bytes(b"the guest wrote this")
    require_whole(parcel, OLD)
    assert not (folder / MANIFEST_NAME).exists() and not (folder / DEVICE_STATE_NAME).exists()


def test_a_live_folder_is_clean_until_the_machine_runs(parcel: Parcel) -> None:
    live.begin_live(parcel, parcel.current(), with_ram=False)
    record = parcel.live_record()
    assert record is not None and record.clean and record.generation == OLD
    live.withdraw_clean(parcel)
    assert parcel.live_record() == replace(record, clean=False)


def test_without_ram_only_the_disks_are_cloned(parcel: Parcel) -> None:
    folder = live.begin_live(parcel, parcel.current(), with_ram=False)
    assert sorted(path.name for path in folder.iterdir()) == ["disk-0.img", "session.json"]


def test_a_clean_live_folder_and_a_half_cloned_one_are_replaced(parcel: Parcel) -> None:
    live.begin_live(parcel, parcel.current(), with_ram=True)
    partial = parcel.paths.folder / "live.partial"
    partial.mkdir()
    (partial / "stray").touch()
    folder = live.begin_live(parcel, parcel.current(), with_ram=False)
    assert not partial.exists() and parcel.generations() == [OLD]
    assert not (folder / RAM_NAME).exists() and not (folder / "stray").exists()


def test_what_a_crashed_machine_wrote_is_kept_aside_when_another_session_begins(parcel: Parcel) -> None:
    run_session(parcel)
    live.begin_live(parcel, parcel.current(), with_ram=True)
    kept = parcel.verified(NEW)
    assert (kept.kind, kept.occasion, kept.parent) == ("disk-only", "cut-off", OLD)
    assert (parcel.paths.checkpoint(NEW) / "disk-0.img").read_bytes() == content(NEW, DISK_BYTES)
    assert not (parcel.paths.checkpoint(NEW) / RAM_NAME).exists()
    assert parcel.current_generation() == OLD
    record = parcel.live_record()
    assert record is not None and record.clean


def test_a_clone_that_fails_leaves_what_was_in_live(parcel: Parcel) -> None:
    run_session(parcel)
    (parcel.paths.checkpoint(OLD) / RAM_NAME).unlink()
    with pytest.raises(FileNotFoundError):
        live.begin_live(parcel, manifest_of(OLD), with_ram=True)
    assert moments_in(parcel.paths.live) == {NEW}


def test_a_session_without_a_record_is_not_started(parcel: Parcel) -> None:
    parcel.paths.live.mkdir()
    with pytest.raises(StoreDamaged):
        live.withdraw_clean(parcel)


def test_crashes_in_the_same_second_are_kept_side_by_side_and_none_becomes_current(parcel: Parcel) -> None:
    for moment in (1, 2, 3):
        write_files(parcel.paths.live, moment)
        kept = live.keep_aside(parcel)
        assert not parcel.paths.live.exists()
        assert (parcel.paths.checkpoint(kept) / "disk-0.img").read_bytes() == content(moment, DISK_BYTES)
    assert parcel.generations() == [OLD, OLD + 1, OLD + 2, OLD + 3]
    assert live.adopt_finished_suspend(parcel) is None
    require_whole(parcel, OLD)


@pytest.mark.parametrize("current", [0, 1, 5, 6, 7])
def test_pruning_keeps_the_newest_three_and_the_current_one_of_a_day(tmp_path: Path, current: int) -> None:
    parcel = make_parcel(tmp_path, current)
    for moment in range(8):
        add_checkpoint(parcel, moment)
    retention.prune(parcel)
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


def test_a_clone_has_the_bytes_of_its_source_and_is_for_its_owner_only(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(100_000) + b"end")
    clone(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
