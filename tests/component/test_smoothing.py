"""Files that were written here and there, on a real XFS: smoothed while they are mapped and written, and read back."""

from __future__ import annotations

import json
import mmap
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from benchmarks.lab.storedevice import store_device
from builder.debian.toolbox import toolbox
from builder.places import ROOT
from soulpad.base.durable import fsync_path
from soulpad.base.extents import extent_count, extents_by_window, unshare
from soulpad.base.reflink import clone
from soulpad.base.run import run
from soulpad.base.units import GIB, KIB, MIB
from soulpad.session.smoothing import WINDOW_BYTES, smooth_file

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

PAGE_BYTES = 4 * KIB
FILE_BYTES = 32 * MIB
PAGES = FILE_BYTES // PAGE_BYTES
AIM_EXTENTS = 200


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("store")
    tree = {PurePosixPath("parcels"): None}
    with store_device(folder, GIB, tree, toolbox()) as device:
        root = folder / "root"
        root.mkdir()
        run(["mount", "-t", "xfs", device, root])
        try:
            yield root
        finally:
            run(["umount", root])


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
    """The moment of each page; a page that is not whole, or another's, is an error."""
    found = []
    with path.open("rb") as file:
        for number in range(PAGES):
            content = file.read(PAGE_BYTES)
            moment = int.from_bytes(content[4:8], "little")
            assert content == page_of(number, moment), f"page {number} is torn"
            found.append(moment)
    return found


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


def test_what_a_guest_writes_through_its_mapping_while_windows_are_smoothed_is_all_there(
    pair: tuple[Path, Path],
) -> None:
    live, checkpoint = pair
    before = moments(checkpoint)
    expected, over = moments(live), threading.Event()

    def guest() -> None:
        rng = random.Random(7)
        with live.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            moment = 2
            while not over.is_set():
                number = rng.randrange(PAGES)
                mapped[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = page_of(number, moment)
                expected[number] = moment
                moment += 1

    thread = threading.Thread(target=guest)
    thread.start()
    try:
        with live.open("r+b") as file:
            for _ in range(2):
                for window in range(FILE_BYTES // WINDOW_BYTES):
                    unshare(file.fileno(), window * WINDOW_BYTES, WINDOW_BYTES)
    finally:
        over.set()
        thread.join()
    assert max(expected) > 2
    assert moments(live) == expected
    assert moments(checkpoint) == before


def test_what_a_guest_writes_past_the_page_cache_while_windows_are_smoothed_is_all_there(
    pair: tuple[Path, Path],
) -> None:
    live, checkpoint = pair
    before = moments(checkpoint)
    expected, over = moments(live), threading.Event()

    def guest() -> None:
        rng = random.Random(8)
        descriptor = os.open(live, os.O_WRONLY | os.O_DIRECT)
        with mmap.mmap(-1, PAGE_BYTES) as page:  # aligned, as direct writes must be
            for moment in range(2, 1 << 30):
                if over.is_set():
                    break
                number = rng.randrange(PAGES)
                page[:] = page_of(number, moment)
                os.pwrite(descriptor, page, number * PAGE_BYTES)
                expected[number] = moment
        os.close(descriptor)

    thread = threading.Thread(target=guest)
    thread.start()
    try:
        smooth_file(live, always, AIM_EXTENTS)
    finally:
        over.set()
        thread.join()
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
