"""Large files read out of an XFS that is not mounted, against what the kernel says of the same files."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from builder.debian.toolbox import toolbox
from builder.store import xfs
from builder.store.xfsfile import XfsFile
from builder.store.xfswalk import Xfs
from lookaside.changed import changed_between, changed_spans
from lookaside.readable import open_file
from soulpad.base.extents import UNWRITTEN, punch
from soulpad.base.reflink import clone
from soulpad.base.run import run
from soulpad.base.spans import Span
from soulpad.base.units import MIB

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="mounting needs root"),
]

BLOCK_BYTES = 4096


class ImageView:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        return os.pread(self._descriptor, length_bytes, offset_bytes)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "plain.img"
    xfs.make_xfs(path, 400 * MIB, {PurePosixPath("parcels"): None}, "parcels", toolbox().argv)
    return path


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    run(["mount", "-o", "loop", image, folder])
    try:
        yield folder
    finally:
        run(["umount", folder])


@contextmanager
def store_of(image: Path) -> Iterator[tuple[Xfs, ImageView]]:
    with image.open("rb", buffering=0) as file:
        view = ImageView(file.fileno())
        yield Xfs(view), view


def file_in(store: Xfs, view: ImageView, name: str) -> XfsFile:
    inode = store.find(PurePosixPath(name))
    assert inode
    return XfsFile(store, view, inode)


def scatter(path: Path, blocks: int, seed: int) -> None:
    """A file in many pieces: single blocks with holes between them, some only reserved, its end in mid-block."""
    chance = random.Random(seed)
    with path.open("wb", buffering=0) as file:
        for block in range(0, blocks, 2):
            os.pwrite(file.fileno(), chance.randbytes(BLOCK_BYTES), block * BLOCK_BYTES)
        os.posix_fallocate(file.fileno(), 101 * BLOCK_BYTES, BLOCK_BYTES)
        file.truncate(blocks * BLOCK_BYTES + 100)


def test_a_file_in_thousands_of_pieces_is_read_as_the_kernel_reads_it(image: Path, tmp_path: Path) -> None:
    with mounted(image, tmp_path / "root") as root:
        scatter(root / "scattered", 9000, 1)
        (root / "small").write_bytes(b"abc")
        (root / "empty").touch()
        os.sync()
        expected = (root / "scattered").read_bytes()
        with open_file(root / "scattered") as file:
            mapped = [(extent.span, extent.flags & UNWRITTEN) for extent in file.extents() or ()]
    with store_of(image) as (store, view):
        found = file_in(store, view, "scattered")
        assert len(found.extents()) > 4000
        assert [(extent.span, extent.flags & UNWRITTEN) for extent in found.extents()] == mapped
        assert found.read_at(0, found.size_bytes + 1000) == expected
        for position, count in ((5000, 100_000), (len(expected) - 10, 100), (len(expected), 5), (3, 0)):
            assert found.read_at(position, count) == expected[position : position + count]
        assert file_in(store, view, "small").read_at(0, 10) == b"abc"
        assert file_in(store, view, "empty").read_at(0, 10) == b""


def test_data_is_found_beyond_holes_and_reserved_blocks(image: Path, tmp_path: Path) -> None:
    with mounted(image, tmp_path / "root") as root:
        scatter(root / "scattered", 200, 2)
        os.truncate(root / "scattered", 300 * BLOCK_BYTES)
    with store_of(image) as (store, view):
        found = file_in(store, view, "scattered")
        assert found.data_from(0) == 0
        assert found.data_from(BLOCK_BYTES) == 2 * BLOCK_BYTES
        assert found.data_from(2 * BLOCK_BYTES + 7) == 2 * BLOCK_BYTES + 7
        assert found.data_from(101 * BLOCK_BYTES) == 102 * BLOCK_BYTES
        assert found.data_from(199 * BLOCK_BYTES) == found.size_bytes == 300 * BLOCK_BYTES


@pytest.mark.parametrize("seed", range(4))
def test_what_changed_is_known_as_the_kernel_knows_it_and_nothing_is_left_out(
    image: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with mounted(image, tmp_path / "root") as root:
        scatter(root / "old", 3000, seed)
        clone(root / "old", root / "new")
        with (root / "new").open("r+b", buffering=0) as file:
            for _ in range(300):
                os.pwrite(file.fileno(), chance.randbytes(100), chance.randrange(3000 * BLOCK_BYTES))
            punch(file.fileno(), 500 * BLOCK_BYTES, 40 * BLOCK_BYTES)
        os.sync()
        expected = changed_spans(root / "old", root / "new")
        old, new = (root / "old").read_bytes(), (root / "new").read_bytes()
    with store_of(image) as (store, view):
        spans = changed_between(file_in(store, view, "old"), file_in(store, view, "new"))
    assert spans == expected
    assert all(covers(spans, at) for at in range(0, len(new), 512) if old[at : at + 512] != new[at : at + 512])


def covers(spans: list[Span], at: int) -> bool:
    return any(start <= at < end for start, end in spans)


def test_a_store_that_was_not_unmounted_is_noticed(image: Path, tmp_path: Path) -> None:
    with store_of(image) as (store, _):
        assert store.was_unmounted()
    for name in ("one", "two"):
        with mounted(image, tmp_path / "root") as root:
            for index in range(50):
                (root / f"{name}-{index}").write_bytes(b"x" * 9000)
            os.sync()
            with store_of(image) as (store, _):
                assert not store.was_unmounted()
        with store_of(image) as (store, _):
            assert store.was_unmounted()


def test_damaged_lists_of_blocks_are_said_and_never_followed_without_end(image: Path, tmp_path: Path) -> None:
    with mounted(image, tmp_path / "root") as root:
        scatter(root / "scattered", 9000, 3)
    whole = image.read_bytes()
    node = whole.find(b"BMA3")
    assert node >= 0
    with store_of(image) as (store, view):
        good = file_in(store, view, "scattered").read_at(0, 1 << 26)
    for offset in (0, 5, 6, 7):
        with image.open("r+b") as file:
            file.seek(node + offset)
            file.write(b"\xff")
        with store_of(image) as (store, view):
            try:
                assert file_in(store, view, "scattered").read_at(0, 1 << 26) == good  # a block that is in use no more
            except Exception as error:
                assert type(error).__name__ in ("StoreDamaged", "UnknownFormat")
        image.write_bytes(whole)
