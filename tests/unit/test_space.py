"""Room on the stick: what goes for it, what never goes, and that a session ends before there is none."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from soulpad.base.errors import NoSpace
from soulpad.base.units import MIB
from soulpad.session import space
from soulpad.session.parcels import Parcel
from soulpad.session.space import (
    START_ROOM_BYTES,
    STATE_ROOM_BYTES,
    RoomGuard,
    keep_reserve,
    make_room,
    make_room_to_save,
    require_room_beside,
)
from soulpad.store.checkpoint import MANIFEST_NAME, RAM_NAME, Occasion
from soulpad.store.layout import RESERVE
from tests.unit.parcel_store import add_checkpoint, make_parcel, manifest_of, require_whole, state_of

CURRENT = 9
CHECKPOINT_BYTES = 100 * MIB
PATIENCE_SECONDS = 60.0  # ends what will never come


@dataclass
class Stick:
    """Where each checkpoint takes CHECKPOINT_BYTES and the reserve its own."""

    parcel: Parcel
    other_free_bytes: int = 0

    def usage(self, _path: object) -> SimpleNamespace:
        missing = CURRENT + 1 - len(self.parcel.generations())
        reserve = 0 if (self.parcel.paths.root / RESERVE).exists() else space.RESERVE_BYTES
        return SimpleNamespace(free=self.other_free_bytes + missing * CHECKPOINT_BYTES + reserve)


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    made = make_parcel(tmp_path, CURRENT)
    for generation in range(CURRENT):
        add_checkpoint(made, generation)
    return made


@pytest.fixture
def stick(parcel: Parcel, monkeypatch: pytest.MonkeyPatch) -> Stick:
    """Full: nothing is free but what is given back."""
    made = Stick(parcel)
    (parcel.paths.root / RESERVE).touch()
    monkeypatch.setattr(shutil, "disk_usage", made.usage)
    return made


def mark(parcel: Parcel, generation: int, occasion: Occasion) -> None:
    path = parcel.paths.checkpoint(generation) / MANIFEST_NAME
    path.write_bytes(replace(manifest_of(generation), occasion=occasion).encode())


# --- the reserve


@pytest.fixture
def small_reserve(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(space, "RESERVE_BYTES", MIB)
    return MIB


def test_the_reserve_is_a_file_of_its_size_that_has_its_blocks(tmp_path: Path, small_reserve: int) -> None:
    keep_reserve(tmp_path)
    status = (tmp_path / RESERVE).stat()
    assert status.st_size == small_reserve <= status.st_blocks * 512


def test_a_reserve_that_is_there_is_left_alone(tmp_path: Path, small_reserve: int) -> None:
    keep_reserve(tmp_path)
    before = (tmp_path / RESERVE).stat()
    keep_reserve(tmp_path)
    assert (tmp_path / RESERVE).stat() == before


def test_a_reserve_that_was_cut_short_is_made_anew(tmp_path: Path, small_reserve: int) -> None:
    (tmp_path / RESERVE).write_bytes(b"half")
    keep_reserve(tmp_path)
    assert (tmp_path / RESERVE).stat().st_size == small_reserve


@pytest.mark.parametrize(("free", "made"), [(4 * MIB - 1, False), (4 * MIB, True)])
def test_no_reserve_is_made_where_it_would_be_the_room_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_reserve: int, free: int, made: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    keep_reserve(tmp_path)
    assert (tmp_path / RESERVE).exists() is made


# --- what goes for it


def test_where_there_is_room_nothing_goes(parcel: Parcel, stick: Stick) -> None:
    stick.other_free_bytes = 5 * MIB
    assert make_room(parcel, 5 * MIB)
    assert parcel.generations() == list(range(10))


def test_no_more_goes_than_must(parcel: Parcel, stick: Stick) -> None:
    assert make_room(parcel, 2 * CHECKPOINT_BYTES)
    assert parcel.generations() == list(range(2, 10))


def test_what_was_made_beside_a_session_goes_first_and_what_power_cuts_left_last(parcel: Parcel, stick: Stick) -> None:
    mark(parcel, 6, "while-running")
    mark(parcel, 0, "cut-off")
    for wanted, gone in ((1, {6}), (2, {6, 1}), (6, {6, 1, 2, 3, 4, 5}), (8, {6, 1, 2, 3, 4, 5, 7, 0})):
        assert make_room(parcel, wanted * CHECKPOINT_BYTES)
        assert set(range(10)) - set(parcel.generations()) == gone


def test_the_current_one_and_the_newest_beside_it_stay_however_much_is_wanted(parcel: Parcel, stick: Stick) -> None:
    assert not make_room(parcel, 1 << 50)
    assert parcel.generations() == [8, 9]
    require_whole(parcel, CURRENT)


def test_the_newest_beside_it_is_one_that_is_whole(parcel: Parcel, stick: Stick) -> None:
    os.truncate(parcel.paths.checkpoint(8) / RAM_NAME, 1)
    assert not make_room(parcel, 1 << 50)
    assert 7 in parcel.generations(), "the only one that can be gone back to"


def test_nothing_goes_while_the_current_one_is_damaged(parcel: Parcel, stick: Stick) -> None:
    (parcel.paths.checkpoint(CURRENT) / RAM_NAME).unlink()
    before = state_of(parcel.paths.root)
    assert not make_room(parcel, CHECKPOINT_BYTES)
    assert state_of(parcel.paths.root) == before


def test_a_stick_that_cannot_be_read_is_no_reason_to_remove_anything(
    parcel: Parcel, stick: Stick, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_self: Parcel) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Parcel, "current", unreadable)
    assert not make_room(parcel, CHECKPOINT_BYTES)
    assert parcel.generations() == list(range(10))


def test_a_suspend_takes_the_reserve_only_when_nothing_else_is_left(parcel: Parcel, stick: Stick) -> None:
    reserve = parcel.paths.root / RESERVE
    assert make_room_to_save(parcel) and reserve.exists()
    assert parcel.generations() == list(range(1, 10))
    stick.other_free_bytes = -100 * CHECKPOINT_BYTES
    assert not make_room_to_save(parcel), "the stick is fuller than full"
    assert parcel.generations() == [8, 9] and not reserve.exists()
    assert not make_room_to_save(parcel), "without a reserve too"


def test_the_reserve_gives_a_suspend_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = make_parcel(tmp_path, CURRENT)
    stick = Stick(parcel, other_free_bytes=-CURRENT * CHECKPOINT_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", stick.usage)
    (tmp_path / RESERVE).touch()
    assert space.free_bytes(tmp_path) == 0
    assert make_room_to_save(parcel)
    assert space.free_bytes(tmp_path) >= STATE_ROOM_BYTES
    require_whole(parcel, CURRENT)


def test_a_checkpoint_beside_the_session_has_its_room_made_or_is_refused(parcel: Parcel, stick: Stick) -> None:
    require_room_beside(parcel)
    assert parcel.generations() == list(range(3, 10)) and space.free_bytes(parcel.paths.root) >= START_ROOM_BYTES
    stick.other_free_bytes = 30 * MIB - 8 * CHECKPOINT_BYTES
    with pytest.raises(NoSpace, match="30 MiB are free") as raised:
        require_room_beside(parcel)
    assert "remove files" in raised.value.hint
    assert (parcel.paths.root / RESERVE).exists(), "the reserve is the suspend's"


# --- while the session runs


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "LOOK_SECONDS", 0.001)


def test_a_session_is_ended_once_when_nothing_more_can_go(parcel: Parcel, stick: Stick, quick: None) -> None:
    calls: list[list[int]] = []
    ended = threading.Event()

    def end() -> None:
        calls.append(parcel.generations())
        ended.set()

    stick.other_free_bytes = -100 * CHECKPOINT_BYTES
    guard = RoomGuard(parcel, end)
    guard.start()
    assert ended.wait(PATIENCE_SECONDS)
    guard.stop()
    assert calls == [[8, 9]], "after all that could be done without had gone"


def test_a_session_goes_on_while_there_is_room_or_some_can_be_made(parcel: Parcel, stick: Stick, quick: None) -> None:
    looked = threading.Semaphore(0)
    usage = stick.usage

    def counted(path: object) -> SimpleNamespace:
        looked.release()
        return usage(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", counted)
        guard = RoomGuard(parcel, lambda: pytest.fail("ended"))
        guard.start()
        for _ in range(20):
            assert looked.acquire(timeout=PATIENCE_SECONDS)
        guard.stop()
    assert parcel.generations() == list(range(2, 10))


def test_a_machine_that_found_no_room_goes_on_once_there_is_some_and_not_before(
    parcel: Parcel, stick: Stick, quick: None
) -> None:
    stick.other_free_bytes = -3 * CHECKPOINT_BYTES
    went_on, generations = threading.Event(), []

    def go_on() -> None:
        generations.append(parcel.generations())
        went_on.set()

    guard = RoomGuard(parcel, lambda: pytest.fail("ended"), go_on)
    guard.start()
    assert went_on.wait(PATIENCE_SECONDS)
    guard.stop()
    assert len(generations[0]) < 8, "room was made first"


def test_a_guard_that_was_stopped_ends_no_session(parcel: Parcel, stick: Stick, quick: None) -> None:
    stick.other_free_bytes = 10 * CHECKPOINT_BYTES
    calls: list[str] = []
    guard = RoomGuard(parcel, lambda: calls.append("ended"))
    guard.start()
    guard.stop()
    stick.other_free_bytes = -100 * CHECKPOINT_BYTES
    assert not [thread for thread in threading.enumerate() if thread.name == "room"]
    assert calls == []


def test_a_guard_may_be_stopped_by_the_ending_that_it_asked_for(parcel: Parcel, stick: Stick, quick: None) -> None:
    stick.other_free_bytes = -100 * CHECKPOINT_BYTES
    ended = threading.Event()

    def end() -> None:
        guard.stop()
        ended.set()

    guard = RoomGuard(parcel, end)
    guard.start()
    assert ended.wait(PATIENCE_SECONDS)


def test_a_guard_that_was_stopped_before_its_start_looks_at_nothing(parcel: Parcel, stick: Stick, quick: None) -> None:
    stick.other_free_bytes = -100 * CHECKPOINT_BYTES
    before = parcel.generations()
    calls: list[str] = []
    guard = RoomGuard(parcel, lambda: calls.append("ended"), lambda: calls.append("went on"))
    guard.stop()
    guard.start()
    for thread in threading.enumerate():
        if thread.name == "room":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert calls == [] and parcel.generations() == before
