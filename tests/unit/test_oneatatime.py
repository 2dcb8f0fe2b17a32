"""Of two who build the same, the second waits, says so, and the lock ends with whoever held it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from builder.oneatatime import one_at_a_time
from soulpad.base.progress import Silent

HOLDER = """
import sys, time
from pathlib import Path
from builder.oneatatime import one_at_a_time
from soulpad.base.progress import Silent
with one_at_a_time(Path(sys.argv[1]), Silent(), "test"):
    print("held", flush=True)
    time.sleep(600)
"""


class Told(Silent):
    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        self.steps.append(name)


def test_the_second_waits_until_the_first_was_killed(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert first.stdout and first.stdout.readline() == "held\n"
    told, entered = Told(), Event()

    def second() -> None:
        with one_at_a_time(tmp_path, told, "build"):
            entered.set()

    waiting = Thread(target=second)
    waiting.start()
    while not told.steps:
        waiting.join(0.01)
    assert told.steps == ["waiting for another build"]
    assert not entered.is_set()
    first.kill()
    first.wait()
    waiting.join()
    assert entered.is_set()


def test_who_comes_alone_waits_for_nobody_and_leaves_no_file(tmp_path: Path) -> None:
    told = Told()
    for _ in range(2):
        with one_at_a_time(tmp_path, told, "build"), pytest.raises(BlockingIOError):
            take(tmp_path)
    assert (told.steps, list(tmp_path.iterdir())) == ([], [])


def take(folder: Path) -> None:
    """Takes the lock from another open file. Raises BlockingIOError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
