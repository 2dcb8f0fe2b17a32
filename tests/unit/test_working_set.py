"""The working set as a document: what is read back, and that nothing that lies there in its place does harm."""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from soulpad.base.errors import StoreDamaged
from soulpad.store.workingset import (
    FORMAT,
    MOST_PAGES,
    PAGE_BYTES,
    WORKING_SET_NAME,
    Run,
    WorkingSet,
    read_working_set,
    runs_of,
    write_working_set,
)

RAM_BYTES = 512 << 20
LAST_PAGE = RAM_BYTES // PAGE_BYTES - 1
SMALL = WorkingSet(RAM_BYTES, (Run(9, 3), Run(LAST_PAGE, 1), Run(0, 2)))


def document_with(runs: str, **other: object) -> bytes:
    fields = {"format": FORMAT, "ram_bytes": RAM_BYTES, "crc32": zlib.crc32(runs.encode()), "runs": runs}
    return json.dumps(fields | other).encode()


def test_a_working_set_is_read_back_in_the_order_of_the_first_touch(tmp_path: Path) -> None:
    write_working_set(tmp_path, SMALL)
    assert read_working_set(tmp_path, RAM_BYTES) == SMALL


def test_a_set_of_the_most_scattered_pages_is_still_a_small_file(tmp_path: Path) -> None:
    scattered = WorkingSet(8 << 30, tuple(Run(127 * number, 1) for number in range(MOST_PAGES)))
    write_working_set(tmp_path, scattered)
    assert (tmp_path / WORKING_SET_NAME).stat().st_size < 192 << 10
    assert read_working_set(tmp_path, 8 << 30) == scattered


def test_a_checkpoint_without_one_has_none(tmp_path: Path) -> None:
    assert read_working_set(tmp_path, RAM_BYTES) is None


def test_a_set_of_another_memory_size_is_none(tmp_path: Path) -> None:
    write_working_set(tmp_path, SMALL)
    assert read_working_set(tmp_path, 2 * RAM_BYTES) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b" " * (2 << 20) + SMALL.encode(),
        SMALL.encode()[:-20],
        SMALL.encode().replace(b"9+3", b"8+3"),
        SMALL.encode().replace(b"set/1", b"set/2"),
        document_with("9+3", ram_bytes="much"),
        document_with("9+3", crc32=None),
    ],
    ids=["empty", "binary", "nested", "large", "cut", "bit", "version", "mistyped", "missing"],
)
def test_what_cannot_be_used_is_none_and_no_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / WORKING_SET_NAME).write_bytes(content)
    assert read_working_set(tmp_path, RAM_BYTES) is None


def test_a_folder_in_its_place_is_none(tmp_path: Path) -> None:
    (tmp_path / WORKING_SET_NAME).mkdir()
    assert read_working_set(tmp_path, RAM_BYTES) is None


@pytest.mark.parametrize("runs", ["9", "9+", "+3", "-1+3", "g+1", "9+0", f"{LAST_PAGE:x}+2", "fffffffffffff+1"])
def test_runs_that_cannot_be_are_refused_although_their_sum_is_right(runs: str) -> None:
    with pytest.raises(StoreDamaged):
        WorkingSet.decode(document_with(runs))


def test_more_pages_than_are_worth_reading_are_refused() -> None:
    with pytest.raises(StoreDamaged):
        WorkingSet.decode(document_with(f"0+{MOST_PAGES:x} {MOST_PAGES:x}+1"))


@given(some.sets(some.integers(0, 200)))
def test_runs_hold_exactly_the_pages_and_never_touch_each_other(pages: set[int]) -> None:
    runs = runs_of(pages)
    assert [page for run in runs for page in range(run.first, run.first + run.pages)] == sorted(pages)
    assert all(run.first + run.pages < later.first for run, later in itertools.pairwise(runs))
