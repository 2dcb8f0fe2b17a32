"""Memory and disk of something that never stops writing, on a real XFS: a clone is of one moment, to the byte."""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from soulpad.base.durable import fsync_path
from soulpad.base.extents import punch, shared_and_own
from soulpad.base.reflink import clone
from soulpad.base.run import start
from soulpad.base.spans import bytes_in, without
from soulpad.base.units import KIB, MIB
from soulpad.session import cloneahead

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

PAGE_BYTES = 4 * KIB
FILE_BYTES = 64 * MIB
PAGES = FILE_BYTES // PAGE_BYTES
FOLIO_BYTES = 2 * MIB  # what the page cache calls dirty at once, at most
# Stands for a guest: pages here and there, and again and again the same ones.
WRITER = """
import mmap, random, sys
randomly = random.Random(int(sys.argv[2]))
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    pages, moment = len(memory) // 4096, 0
    print("writes", flush=True)
    while True:
        moment += 1
        page = randomly.randrange(pages if moment % 4 else pages // 16)
        at = page * 4096
        memory[at : at + 16] = moment.to_bytes(8, "little") * 2
"""

# Stands for a virtual machine's disk: past the page cache, now and then a discard.
DISK_WRITER = """
import ctypes, mmap, os, random, sys
randomly = random.Random(int(sys.argv[2]))
disk = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
pages, moment = os.fstat(disk).st_size // 4096, 0
block = mmap.mmap(-1, 16384)
fallocate = ctypes.CDLL(None).fallocate64
fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
print("writes", flush=True)
while True:
    moment += 1
    at = randomly.randrange(pages - 4) * 4096
    block[:8] = moment.to_bytes(8, "little")
    length = 4096 * randomly.randint(1, 4)
    if moment % 7:
        os.pwrite(disk, memoryview(block)[:length], at)
    else:
        fallocate(disk, 3, at, length)
"""


@pytest.fixture
def memory(store: Path) -> Iterator[Path]:
    """A memory of which an older checkpoint has a clone, with a hole of a quarter in it."""
    path, older = store / "memory", store / "older"
    with path.open("wb") as file:
        file.write(random.Random(1).randbytes(FILE_BYTES * 3 // 4))
        file.truncate(FILE_BYTES)
    clone(path, older)
    yield path
    for left in (path, older, store / "copy"):
        left.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, seed: int, program: str = WRITER) -> Iterator[int]:
    """Somebody who writes to the file without rest; his process id."""
    with start([sys.executable, "-c", program, path, str(seed)], stdin=None, stdout=-1, stderr=None) as process:
        assert process.stdout and process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def stand_still(process_id: int) -> None:
    os.kill(process_id, signal.SIGSTOP)
    while Path(f"/proc/{process_id}/stat").read_text().rsplit(")")[-1].split()[0] != "T":
        time.sleep(0.001)


def write_page(path: Path, number: int, content: bytes) -> None:
    """As a guest does: through a mapping."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[number * PAGE_BYTES : number * PAGE_BYTES + len(content)] = content


@pytest.mark.parametrize("seed", range(6))
def test_a_clone_is_of_the_moment_at_which_the_writer_stood_still(store: Path, memory: Path, seed: int) -> None:
    copy = store / "copy"
    with writing(memory, seed) as writer:
        for _ in range(4):  # each over what the one before it left shared
            copy.unlink(missing_ok=True)
            begun = cloneahead.begin(memory, copy)
            time.sleep(0.05)
            if seed % 2:  # what is written back meanwhile is found all the same
                fsync_path(memory)
            stand_still(writer)
            completed = cloneahead.complete(begun, cloneahead.copied)
            expected = memory.read_bytes()
            os.kill(writer, signal.SIGCONT)
            time.sleep(0.05)
            cloneahead.make_holes(completed)
            fsync_path(copy)
            assert copy.read_bytes() == expected


@pytest.mark.parametrize("seed", range(4))
def test_a_clone_of_a_disk_is_of_that_moment_too_and_only_blocks_are_cloned(
    store: Path, memory: Path, seed: int
) -> None:
    disk, copy = memory, store / "copy"
    with writing(disk, seed, DISK_WRITER) as writer:
        for _ in range(4):
            copy.unlink(missing_ok=True)
            begun = cloneahead.begin(disk, copy)
            time.sleep(0.05)
            stand_still(writer)
            completed = cloneahead.complete(begun)
            expected = disk.read_bytes()
            with copy.open("rb") as file:
                _, own = shared_and_own(file.fileno())
            assert without(own, completed.holes) == [], "nothing was copied"
            os.kill(writer, signal.SIGCONT)
            time.sleep(0.05)
            cloneahead.make_holes(completed)
            assert copy.read_bytes() == expected


def test_a_disk_that_ends_within_a_block_is_cloned_to_its_last_byte(store: Path) -> None:
    disk, copy = store / "disk", store / "copy"
    try:
        disk.write_bytes(b"x" * (MIB + 512))
        begun = cloneahead.begin(disk, copy)
        with disk.open("r+b") as file:
            file.seek(MIB + 100)
            file.write(b"the end")
        fsync_path(disk)
        cloneahead.make_holes(cloneahead.complete(begun))
        assert copy.read_bytes() == disk.read_bytes()
    finally:
        disk.unlink()
        copy.unlink(missing_ok=True)


def given_back(path: Path) -> None:
    with path.open("r+b") as file:
        punch(file.fileno(), 8 * MIB, 4 * MIB)


def rewritten_and_written_back(path: Path) -> None:
    for number in (5, 6, 900, PAGES - 1):
        write_page(path, number, b"changed after the clone")
    fsync_path(path)


def rewritten_again_after_it_was_written_back(path: Path) -> None:
    write_page(path, 7, b"first")
    fsync_path(path)
    write_page(path, 7, b"second")


def given_back_and_taken_again(path: Path) -> None:
    given_back(path)
    write_page(path, 8 * MIB // PAGE_BYTES + 3, b"taken again")


CHANGES: tuple[Callable[[Path], None], ...] = (
    given_back,
    rewritten_and_written_back,
    rewritten_again_after_it_was_written_back,
    given_back_and_taken_again,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_becomes_of_a_page_after_it_was_cloned_is_in_the_copy(
    store: Path, memory: Path, change: Callable[[Path], None]
) -> None:
    write_page(memory, 7, b"dirty before the clone")
    begun = cloneahead.begin(memory, store / "copy")
    assert begun.left_out is not None and bytes_in(begun.left_out) <= FOLIO_BYTES
    change(memory)
    cloneahead.make_holes(cloneahead.complete(begun, cloneahead.copied))
    assert (store / "copy").read_bytes() == memory.read_bytes()


def test_only_what_was_changed_takes_room_and_holes_stay_holes(store: Path, memory: Path) -> None:
    fsync_path(memory)
    begun = cloneahead.begin(memory, store / "copy")
    write_page(memory, 12, b"one page")
    given_back(memory)
    cloneahead.make_holes(cloneahead.complete(begun, cloneahead.copied))
    fsync_path(store / "copy")
    with (store / "copy").open("rb") as file:
        shared, own = shared_and_own(file.fileno())
    assert PAGE_BYTES <= bytes_in(own) <= FOLIO_BYTES
    assert bytes_in(shared) + bytes_in(own) == FILE_BYTES * 3 // 4 - 4 * MIB
