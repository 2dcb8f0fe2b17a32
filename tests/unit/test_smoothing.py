"""Which parts of a fragmented file are written anew, and what happens where that cannot be done."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from soulpad.base.errors import SoulpadError
from soulpad.session import smoothing, space
from soulpad.session.parcels import Parcel
from soulpad.session.periodic import PeriodicCheckpoints
from soulpad.session.smoothing import LEAST_IN_WINDOW, MOST_BYTES, WINDOW_BYTES, windows_to_smooth
from tests.unit.parcel_store import make_parcel

LEAST = LEAST_IN_WINDOW


def test_a_file_of_few_extents_is_left_alone_however_they_lie() -> None:
    assert windows_to_smooth({3: 90, 4: 10}, aim_extents=100) == []
    assert windows_to_smooth({}) == []


def test_the_windows_with_the_most_extents_go_first_and_no_more_than_are_needed() -> None:
    extents = {0: LEAST, 1: 30, 2: 10, 3: 25}
    total = sum(extents.values())
    assert windows_to_smooth(extents, total - 29) == [1]
    assert windows_to_smooth(extents, total - 30) == [1, 3]
    assert windows_to_smooth(extents, 0) == [0, 1, 2, 3]


def test_windows_that_are_nearly_smooth_are_never_worth_it() -> None:
    assert windows_to_smooth(dict.fromkeys(range(1000), LEAST - 1), 0) == []


def test_what_is_written_at_once_is_bounded() -> None:
    windows = windows_to_smooth(dict.fromkeys(range(10000), 30), 0)
    assert len(windows) * WINDOW_BYTES == MOST_BYTES


def test_windows_are_taken_in_the_order_of_the_file() -> None:
    windows = windows_to_smooth({9: 20, 2: 21, 5: 22}, 0)
    assert windows == sorted(windows) == [2, 5, 9]


@pytest.fixture
def unshared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """A file system that finds two windows in pieces in every file, and notes which ranges it unshares."""
    noted: list[tuple[str, int, int]] = []

    def unshare(descriptor: int, offset_bytes: int, length_bytes: int) -> None:
        noted.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, offset_bytes, length_bytes))

    monkeypatch.setattr(smoothing, "extents_by_window", lambda path, window_bytes: Counter({0: 32, 7: 32}))
    monkeypatch.setattr(smoothing, "unshare", unshare)
    monkeypatch.setattr(space, "free_bytes", lambda root: space.START_ROOM_BYTES)
    return noted


def running_parcel(tmp_path: Path) -> Parcel:
    parcel = make_parcel(tmp_path)
    parcel.paths.live.mkdir()
    for name in ("ram.img", "disk-0.img"):
        (parcel.paths.live / name).write_bytes(b"a guest's")
    return parcel


def test_memory_and_disks_of_the_running_session_are_smoothed_window_by_window(
    tmp_path: Path, unshared: list[tuple[str, int, int]]
) -> None:
    assert smoothing.smooth(running_parcel(tmp_path), aim_extents=10) == 4 * WINDOW_BYTES
    assert unshared == [
        (name, offset, WINDOW_BYTES) for name in ("ram.img", "disk-0.img") for offset in (0, 7 * WINDOW_BYTES)
    ]


def test_where_room_is_short_nothing_is_written(
    tmp_path: Path, unshared: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda root: space.START_ROOM_BYTES - 1)
    assert smoothing.smooth(running_parcel(tmp_path), aim_extents=10) == 0
    assert unshared == []


def test_a_file_system_that_cannot_do_it_is_no_error(
    tmp_path: Path, unshared: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, offset_bytes: int, length_bytes: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(smoothing, "unshare", refuse)
    assert smoothing.smooth(running_parcel(tmp_path), aim_extents=10) == 0


def test_a_disk_that_is_not_there_is_no_error(tmp_path: Path, unshared: list[tuple[str, int, int]]) -> None:
    parcel = running_parcel(tmp_path)
    (parcel.paths.live / "disk-0.img").unlink()
    assert smoothing.smooth(parcel, aim_extents=10) == 2 * WINDOW_BYTES


def test_a_session_that_is_to_end_does_not_wait_for_more_than_a_window(
    tmp_path: Path, unshared: list[tuple[str, int, int]]
) -> None:
    assert smoothing.smooth(running_parcel(tmp_path), lambda: not unshared, 10) == WINDOW_BYTES
    assert unshared == [("ram.img", 0, WINDOW_BYTES)]


def test_a_session_that_ends_while_its_files_are_smoothed_is_told_to_the_smoothing_and_waits_for_it() -> None:
    began, asked = threading.Event(), list[bool]()

    def tidy(go_on: Callable[[], bool]) -> None:
        asked.append(go_on())
        began.set()
        while go_on():
            time.sleep(0.001)
        asked.append(go_on())

    checkpoints = PeriodicCheckpoints(lambda can_wait: None, lambda: None, lambda: None, tidy)
    checkpoints.start()
    checkpoints.make_one_now()
    began.wait()
    checkpoints.stop()
    assert asked == [True, False]


def test_a_checkpoint_that_failed_is_not_followed_by_smoothing() -> None:
    failed, tidied = threading.Event(), list[bool]()

    def fail(can_wait: bool) -> None:
        failed.set()
        raise SoulpadError("no")

    checkpoints = PeriodicCheckpoints(fail, lambda: None, lambda: None, lambda go_on: tidied.append(go_on()))
    checkpoints.start()
    checkpoints.make_one_now()
    failed.wait()
    checkpoints.stop()
    assert tidied == []
