"""The emulated PC's own disk: its plan and its hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.pc.internal_disk import GPT_TAIL_BYTES, SWAP_BYTES, plan_disk, sha256_sparse, write_files
from builder.pc.profile import DiskBus, FileSystem, InternalDisk
from soulpad.base.units import KIB, MIB


@given(st.integers(128, 1 << 20), st.sampled_from(FileSystem))
def test_partitions_lie_one_after_the_other_within_the_disk(size_mib: int, filesystem: FileSystem) -> None:
    plan = plan_disk(InternalDisk(DiskBus.SATA, size_mib * MIB, filesystem))
    assert plan.files_bytes > 0
    assert plan.swap_at_bytes == MIB + plan.files_bytes
    assert plan.swap_at_bytes + SWAP_BYTES + GPT_TAIL_BYTES == size_mib * MIB


def sparse_file(path: Path, size_bytes: int, pieces: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for offset, content in pieces.items():
            file.seek(offset)
            file.write(content)
    return path


@pytest.mark.parametrize(
    ("size_bytes", "pieces"),
    [
        (0, {}),
        (5 * MIB + 1, {}),
        (3 * MIB, {0: b"start", 3 * MIB - 3: b"end"}),
        (8 * MIB + 7, {MIB - 10: os.urandom(2 * MIB), 6 * MIB: b"\0" * KIB}),
    ],
)
def test_hash_is_that_of_the_whole_content_holes_included(
    tmp_path: Path, size_bytes: int, pieces: dict[int, bytes]
) -> None:
    path = sparse_file(tmp_path / "disk", size_bytes, pieces)
    assert sha256_sparse(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_flipped_bit_changes_the_hash(tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "disk", 64 * MIB, {MIB: b"data"})
    before = sha256_sparse(path)
    with path.open("r+b") as file:
        file.seek(40 * MIB)
        file.write(b"\1")
    assert sha256_sparse(path) != before


def test_the_same_files_come_out_every_time(tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        home = write_files(folder)
        return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}

    first = content(tmp_path / "a")
    assert first and first == content(tmp_path / "b")
