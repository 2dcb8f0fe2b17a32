"""Work in several processes: each piece once, every failure told, nobody left running."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from builder.store.workers import in_processes
from soulpad.base.errors import BadImage, ProgramFailed
from soulpad.base.progress import Silent

PIECES = [(at, at + 10) for at in range(0, 200, 10)]


class Recorder(Silent):
    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        self.told.append((done_bytes, total_bytes))


def test_each_piece_is_worked_on_once_and_progress_ends_at_the_total(tmp_path: Path) -> None:
    progress = Recorder()
    in_processes(lambda piece: (tmp_path / f"{piece[0]}-{piece[1]}").touch(exist_ok=False), PIECES, progress)
    assert {path.name for path in tmp_path.iterdir()} == {f"{start}-{end}" for start, end in PIECES}
    assert [done for done, _ in progress.told] == list(range(10, 201, 10))
    assert {total for _, total in progress.told} == {200}


def test_no_pieces_is_no_work() -> None:
    in_processes(lambda _: os.abort(), [], Silent())


def test_a_workers_error_is_raised_with_its_hint_and_the_rest_is_ended() -> None:
    def work(piece: tuple[int, int]) -> None:
        if piece[0] == 100:
            raise BadImage("half an image", "fetch the other half")
        signal.pause() if piece[0] % 20 else None

    with pytest.raises(BadImage, match="half an image") as caught:
        in_processes(work, PIECES, Silent())
    assert caught.value.hint == "fetch the other half"
    assert not multiprocessing.active_children()


def test_a_worker_that_is_slow_to_begin_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the program has a handler of its own, which the worker would inherit."""
    set_handler, ours = signal.signal, tmp_path / str(os.getpid())

    def slowly_but_once(number: int, handler: Any) -> Any:
        try:
            (tmp_path / "first").symlink_to(str(os.getpid()))
        except FileExistsError:
            time.sleep(0 if (tmp_path / "first").readlink().name == str(os.getpid()) else 0.5)
        return set_handler(number, handler)

    def work(_: tuple[int, int]) -> None:
        if (tmp_path / "first").readlink().name == str(os.getpid()):
            raise BadImage("half an image")
        signal.pause()

    before = set_handler(signal.SIGTERM, lambda _number, _frame: ours.touch())
    monkeypatch.setattr(signal, "signal", slowly_but_once)
    try:
        with pytest.raises(BadImage):
            in_processes(work, PIECES, Silent())
    finally:
        set_handler(signal.SIGTERM, before)
    assert not multiprocessing.active_children()
    assert not ours.exists(), "a worker's end is nothing that our handler hears of"


def test_an_os_error_keeps_its_number() -> None:
    def work(_: tuple[int, int]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as caught:
        in_processes(work, PIECES, Silent())
    assert caught.value.errno == errno.ENOSPC


def test_a_killed_worker_is_noticed() -> None:
    def work(piece: tuple[int, int]) -> None:
        if piece[0] == 100:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ProgramFailed, match="killed"):
        in_processes(work, PIECES, Silent())
    assert not multiprocessing.active_children()


def test_an_interrupt_in_the_parent_leaves_no_worker() -> None:
    class Interrupting(Silent):
        def advance(self, done_bytes: int, total_bytes: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_processes(lambda piece: signal.pause() if piece[0] else None, PIECES, Interrupting())
    assert not multiprocessing.active_children()
