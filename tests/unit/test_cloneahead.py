"""A machine's memory is copied whole where the kernel or the file system cannot do better; what is told apart else."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from soulpad.base import pagecache
from soulpad.base.durable import fsync_path
from soulpad.base.extents import shared_and_own
from soulpad.base.pagecache import PAGE_BYTES, unwritten, unwritten_bytes
from soulpad.base.spans import both, bytes_in
from soulpad.session import cloneahead

PAGES = 300


class FakeCounts:
    """A page cache in which these pages are dirty; counts how often it is asked."""

    def __init__(self, dirty: set[int]) -> None:
        self.dirty, self.asked = dirty, 0

    def __call__(self, _descriptor: int, offset_bytes: int, length_bytes: int) -> pagecache._Counts:
        self.asked += 1
        first, count = offset_bytes // PAGE_BYTES, -(-length_bytes // PAGE_BYTES)
        return pagecache._Counts(dirty=len(self.dirty & set(range(first, first + count))))


@pytest.mark.parametrize(
    "dirty",
    [set(), {0}, {PAGES - 1}, {3, 4, 5, 77, 299}, set(range(PAGES)), set(range(0, PAGES, 2)), set(range(40, 200))],
    ids=["none", "first", "last", "some", "all", "every other", "a stretch"],
)
def test_dirty_pages_are_found_wherever_they_are(monkeypatch: pytest.MonkeyPatch, dirty: set[int]) -> None:
    counts = FakeCounts(dirty)
    monkeypatch.setattr(pagecache, "_counts", counts)
    found = unwritten(0, PAGES * PAGE_BYTES)
    assert {at // PAGE_BYTES for start, end in found for at in range(start, end, PAGE_BYTES)} == dirty
    assert bytes_in(found) == len(dirty) * PAGE_BYTES
    assert counts.asked == 1 or 0 < len(dirty) < PAGES, "where there is nothing to tell apart, one question is enough"


def test_of_an_empty_file_nothing_is_dirty(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = FakeCounts(set())
    monkeypatch.setattr(pagecache, "_counts", counts)
    assert unwritten(0, 0) == [] and counts.asked == 0


def test_what_was_made_durable_is_not_dirty_any_more(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    path.write_bytes(bytes(PAGES * PAGE_BYTES))
    fsync_path(path)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[7 * PAGE_BYTES] = 1
        mapped.flush()
        assert unwritten_bytes(file.fileno()) == 0


def cannot_say(_descriptor: int, _offset: int, _length: int) -> pagecache._Counts:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def test_a_kernel_that_cannot_say_what_is_dirty_has_the_memory_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagecache, "_counts", cannot_say)
    memory, copy = tmp_path / "memory", tmp_path / "copy"
    memory.write_bytes(b"as it was when the copy was begun")
    begun = cloneahead.begin(memory, copy)
    assert begun.left_out is None
    memory.write_bytes(b"as it is when the machine stands still")
    with memory.open("rb") as file:
        assert unwritten_bytes(file.fileno()) == 0
    cloneahead.make_holes(cloneahead.complete(begun))
    assert copy.read_bytes() == b"as it is when the machine stands still"


@pytest.mark.parametrize("step", ["begin", "complete"])
def test_a_disk_that_fails_is_not_taken_for_a_kernel_that_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    memory = tmp_path / "memory"
    memory.write_bytes(bytes(PAGE_BYTES))
    begun = cloneahead.CloneAhead(memory, tmp_path / "copy", [(0, PAGE_BYTES)])

    def failing(_descriptor: int, _length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(cloneahead, "unwritten", failing)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        cloneahead.begin(memory, tmp_path / "copy") if step == "begin" else cloneahead.complete(begun)


def test_a_hole_is_neither_shared_nor_own(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    with path.open("wb") as file:
        file.truncate(64 * PAGE_BYTES)
        file.seek(16 * PAGE_BYTES)
        file.write(b"x" * PAGE_BYTES)
    fsync_path(path)
    with path.open("rb") as file:
        try:
            shared, own = shared_and_own(file.fileno())
        except OSError:
            pytest.skip("this file system does not tell where its files lie")
    assert shared == [] and both(own, [(0, 16 * PAGE_BYTES)]) == []
    assert both(own, [(16 * PAGE_BYTES, 17 * PAGE_BYTES)]) == [(16 * PAGE_BYTES, 17 * PAGE_BYTES)]
