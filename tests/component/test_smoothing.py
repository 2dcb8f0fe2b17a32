"""Files that were written here and there, on a real XFS: smoothed while they are mapped and written, and read back."""

from __future__ import annotations

import json
import mmap
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from builder.places import ROOT
from soulpad.base.durable import fsync_path
from soulpad.base.extents import extent_count, extents_by_window
from soulpad.base.reflink import clone
from soulpad.base.run import run
from soulpad.base.units import KIB, MIB
from soulpad.session.smoothing import WINDOW_BYTES, smooth_file

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

PAGE_BYTES = 4 * KIB
FILE_BYTES = 32 * MIB
PAGES = FILE_BYTES // PAGE_BYTES
AIM_EXTENTS = 200


def always() -> bool:
    return True


def page_of(number: int, moment: int) -> bytes:
    return (number.to_bytes(4, "little") + moment.to_bytes(4, "little")) * (PAGE_BYTES // 8)


@pytest.fixture
def pair(store: Path) -> tuple[Path, Path]:
    """A file whose every other page is of moment 1, the rest of moment 0, and its clone: all shared, in pieces."""
    first, live, checkpoint = (store / name for name in ("first", "live", "checkpoint"))
    for path in (first, live, checkpoint):
        path.unlink(missing_ok=True)
    first.write_bytes(b"".join(page_of(number, 0) for number in range(PAGES)))
    clone(first, live)
    with live.open("r+b") as file:
        for number in range(0, PAGES, 2):
            os.pwrite(file.fileno(), page_of(number, 1), number * PAGE_BYTES)
    fsync_path(live)
    clone(live, checkpoint)
    return live, checkpoint


def moments(path: Path) -> list[int]:
    """The moment of each page on the disk; a page that is not whole, or another's, is an error."""
    found = []
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for number in range(PAGES):
            content = file.read(PAGE_BYTES)
            moment = int.from_bytes(content[4:8], "little")
            assert content == page_of(number, moment), f"page {number} is torn"
            found.append(moment)
    return found


@contextmanager
def beside(act: Callable[[int], None]) -> Iterator[None]:
    """Calls ``act`` with 2, 3, 4 and so on in a thread while the block runs: the moments of a guest at work."""
    over = threading.Event()

    def work() -> None:
        for moment in count(2):
            act(moment)
            if over.is_set():
                return

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        try:
            yield
        finally:
            over.set()
    done.result()


def test_smoothing_takes_a_file_down_to_fewer_extents_and_changes_no_byte_of_it_or_of_its_clone(
    pair: tuple[Path, Path],
) -> None:
    live, checkpoint = pair
    before, expected = extent_count(live), moments(live)
    assert before > 1000
    written = smooth_file(live, always, AIM_EXTENTS)
    assert extent_count(live) <= AIM_EXTENTS + FILE_BYTES // WINDOW_BYTES
    assert 0 < written <= FILE_BYTES
    assert extent_count(checkpoint) == before
    for path in pair:
        assert moments(path) == expected


def test_a_file_that_is_smooth_enough_is_not_written(pair: tuple[Path, Path]) -> None:
    live, _ = pair
    assert smooth_file(live, always, 2 * PAGES) == 0


def test_extents_are_counted_window_by_window(pair: tuple[Path, Path]) -> None:
    live, _ = pair
    windows = extents_by_window(live, WINDOW_BYTES)
    assert sum(windows.values()) == extent_count(live)
    assert set(windows) <= set(range(FILE_BYTES // WINDOW_BYTES))


def store_through_mapping(number: int, moment: int, mapped: mmap.mmap, _live: int, _page: mmap.mmap) -> None:
    mapped[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = page_of(number, moment)


def write_past_the_page_cache(number: int, moment: int, _mapped: mmap.mmap, live: int, page: mmap.mmap) -> None:
    page[:] = page_of(number, moment)
    os.pwrite(live, page, number * PAGE_BYTES)


@pytest.mark.parametrize("write", [store_through_mapping, write_past_the_page_cache])
def test_what_a_guest_writes_while_its_files_are_smoothed_is_all_on_the_disk(
    pair: tuple[Path, Path], write: Callable[[int, int, mmap.mmap, int, mmap.mmap], None]
) -> None:
    live, checkpoint = pair
    before, expected, rng = moments(checkpoint), moments(live), random.Random(7)
    descriptor = os.open(live, os.O_RDWR | os.O_DIRECT)
    with mmap.mmap(descriptor, FILE_BYTES) as mapped, mmap.mmap(-1, PAGE_BYTES) as page:

        def guest(moment: int) -> None:
            number = rng.randrange(PAGES)
            write(number, moment, mapped, descriptor, page)
            expected[number] = moment

        with beside(guest):
            assert smooth_file(live, always, AIM_EXTENTS) > 0
    os.close(descriptor)
    assert max(expected) > 2
    assert moments(live) == expected
    assert moments(checkpoint) == before


def test_what_a_guest_reads_from_its_disk_into_memory_that_is_smoothed_is_all_there(pair: tuple[Path, Path]) -> None:
    """A direct read holds the pages that it reads into while they may be written out below it."""
    live, checkpoint = pair
    before, expected, rng = moments(checkpoint), moments(live), random.Random(8)
    disk = live.with_name("disk")
    disk.write_bytes(b"".join(page_of(number, 9) for number in range(PAGES)))
    fsync_path(disk)
    source = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    with live.open("r+b") as file, mmap.mmap(file.fileno(), FILE_BYTES) as mapped, memoryview(mapped) as memory:

        def guest(_moment: int) -> None:
            number = rng.randrange(PAGES)
            begin = number * PAGE_BYTES
            with memory[begin : begin + PAGE_BYTES] as target:
                os.preadv(source, [target], begin)
            expected[number] = 9

        with beside(guest):
            assert smooth_file(live, always, AIM_EXTENTS) > 0
    os.close(source)
    assert 9 in expected
    assert moments(live) == expected
    assert moments(checkpoint) == before


def test_the_cycles_benchmark_keeps_a_small_guest_in_few_pieces() -> None:
    argv = [
        sys.executable,
        "benchmarks/cycles.py",
        "--quick",
        "--json",
        "--cycles",
        "18",
        "--variant",
        "never smoothed",
    ]
    report = json.loads(run(argv, cwd=ROOT).stdout)
    product, never = (report["variants"][name] for name in ("product", "never smoothed"))
    assert report["benchmark"] == "cycles" and report["cycles"] == 18
    assert [entry["cycle"] for entry in product["each"]] == list(range(18))
    assert set(report["ratios_to_product"]) == {"never smoothed"}
    assert product["last"]["ram_extents"] < never["last"]["ram_extents"]
    assert product["last_to_middle"]["ram_extents"] < 1.3
    assert 1 <= product["last"]["amplification"] < 3
    assert sum(entry.get("smoothed_bytes", 0) for entry in never["each"]) == 0
