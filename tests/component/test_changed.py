"""What changed between two checkpoints by the maps of a real XFS, against what a comparison of their bytes says."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lookaside.changed import changed_spans
from soulpad.base.extents import punch as punch_range
from soulpad.base.reflink import clone
from soulpad.base.spans import Span
from soulpad.base.units import KIB, MIB

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

BLOCK_BYTES = 4 * KIB
FILE_BYTES = 96 * BLOCK_BYTES
HISTORIES = 12
CHECKPOINTS = 10
ZERO_RANGE = 0x10
_libc = ctypes.CDLL(None, use_errno=True)


def write_anywhere(file: int, chance: random.Random) -> None:
    at = chance.randrange(FILE_BYTES - 1)
    os.pwrite(file, chance.randbytes(chance.randrange(1, 3 * BLOCK_BYTES))[: FILE_BYTES - at], at)


def store_by_mapping(file: int, chance: random.Random) -> None:
    size = os.fstat(file).st_size
    with mmap.mmap(file, size) as mapped:
        for _ in range(3):
            at = chance.randrange(size - 8)
            mapped[at : at + 8] = chance.randbytes(8)


def punch(file: int, chance: random.Random) -> None:
    punch_range(file, chance.randrange(90) * BLOCK_BYTES, chance.randrange(1, 6) * BLOCK_BYTES)


def zero_range(file: int, chance: random.Random) -> None:
    at = chance.randrange(90) * BLOCK_BYTES
    assert _libc.fallocate64(file, ZERO_RANGE, ctypes.c_int64(at), ctypes.c_int64(2 * BLOCK_BYTES)) == 0


def reserve_blocks(file: int, chance: random.Random) -> None:
    os.posix_fallocate(file, chance.randrange(90) * BLOCK_BYTES, 3 * BLOCK_BYTES)


def cut_and_grow(file: int, chance: random.Random) -> None:
    os.ftruncate(file, chance.randrange(60 * BLOCK_BYTES, FILE_BYTES))
    if chance.random() < 0.7:
        os.ftruncate(file, FILE_BYTES)


def write_the_same(file: int, chance: random.Random) -> None:
    at = chance.randrange(60) * BLOCK_BYTES
    os.pwrite(file, os.pread(file, BLOCK_BYTES, at), at)


CHANGES: tuple[Callable[[int, random.Random], None], ...] = (
    write_anywhere,
    store_by_mapping,
    punch,
    zero_range,
    reserve_blocks,
    cut_and_grow,
    write_the_same,
)


def missed(old: bytes, new: bytes, spans: list[Span]) -> list[int]:
    """Offsets of blocks of 512 bytes that differ and are in no span. What was cut off the end differs from nothing."""
    told: set[int] = set()
    for start, end in spans:
        told.update(range(start // 512, -(-end // 512)))
    old, blocks = old[: len(new)], range(-(-len(new) // 512))
    return [at * 512 for at in blocks if old[at * 512 :][:512] != new[at * 512 :][:512] and at not in told]


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_no_change_is_missed_between_any_two_checkpoints_of_a_history(store: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = store / f"history-{seed}"
    folder.mkdir()
    live = folder / "live"
    live.write_bytes(chance.randbytes(FILE_BYTES))
    checkpoints: list[Path] = []
    for number in range(CHECKPOINTS):
        descriptor = os.open(live, os.O_RDWR)
        for _ in range(chance.randrange(5)):
            chance.choice(CHANGES)(descriptor, chance)
        os.close(descriptor)
        checkpoints.append(folder / f"checkpoint-{number}")
        clone(live, checkpoints[-1])
        if chance.random() < 0.3:  # go back: live is a clone of a clone
            live.unlink()
            clone(chance.choice(checkpoints), live)
    contents = [path.read_bytes() for path in checkpoints]
    for one, old in enumerate(checkpoints):
        for other, new in enumerate(checkpoints):
            assert missed(contents[one], contents[other], changed_spans(old, new)) == []


def test_what_was_not_touched_is_not_told(store: Path) -> None:
    one, other = store / "one", store / "other"
    one.write_bytes(random.Random(5).randbytes(8 * MIB))
    clone(one, other)
    assert changed_spans(one, other) == []
    with other.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"x")
    assert changed_spans(one, other) == [(4 * MIB, 4 * MIB + BLOCK_BYTES)]


def test_a_file_that_shares_nothing_is_changed_where_it_holds_data(store: Path) -> None:
    one, other = store / "alone", store / "alone too"
    one.write_bytes(b"a" * MIB)
    other.write_bytes(b"a" * MIB)
    assert changed_spans(one, other) == [(0, MIB)]


def test_files_of_two_file_systems_are_changed_all_over(store: Path, tmp_path: Path) -> None:
    (store / "here").write_bytes(b"a" * 5000)
    (tmp_path / "there").write_bytes(b"a" * 5000)
    assert changed_spans(store / "here", tmp_path / "there") == [(0, 5000)]
