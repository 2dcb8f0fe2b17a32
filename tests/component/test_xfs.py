"""File systems made, listed, read and checked with Debian 13's XFS programs; mounted where root may."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path, PurePosixPath

import pytest

from builder.debian.toolbox import toolbox
from builder.store import xfs, xfsread
from soulpad.base.errors import BadInput, NoSpace, ProgramFailed, StoreDamaged
from soulpad.base.run import run
from soulpad.base.units import KIB, MIB

pytestmark = pytest.mark.component

SIZE = 320 * MIB
DISK_BYTES = 400 * MIB
MARKER = b"a marker at the very end"


@pytest.fixture(scope="module")
def tool() -> xfs.ToolArgv:
    return toolbox().argv


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[PurePosixPath, xfs.Content]:
    """A parcel with a sparse disk larger than the store, and folders of every form: in inode, block, B-tree."""
    disk = tmp_path_factory.mktemp("a folder with spaces") / "disk: the raw one.img"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
        for position in (0, 100 * MIB, DISK_BYTES - 2 * MIB):
            file.seek(position)
            file.write(os.urandom(MIB))
        file.seek(DISK_BYTES - len(MARKER))
        file.write(MARKER)
    parcel = PurePosixPath("parcels/6dd3e6d0")
    contents: dict[PurePosixPath, xfs.Content] = {
        parcel / "parcel.json": b'{"format": "soulpad-parcel/1"}\n',
        parcel / "current": b"1\n",
        parcel / "checkpoints/1/disk-0.img": disk,
        parcel / "live": None,
        PurePosixPath("log/empty"): b"",
    }
    contents |= {PurePosixPath(f"log/few/entry-{index}"): b"x" for index in range(40)}
    contents |= {PurePosixPath(f"log/many/{'n' * 60}-{index}"): b"y" for index in range(600)}
    return contents


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, tree: xfs.Tree, tool: xfs.ToolArgv) -> Path:
    path = tmp_path_factory.mktemp("xfs") / "plain.img"
    xfs.make_xfs(path, SIZE, tree, "parcels", tool)
    return path


def test_a_made_file_system_is_clean_and_nothing_else_is_left(image: Path, tool: xfs.ToolArgv) -> None:
    xfs.check_xfs(image, tool)
    assert [path.name for path in image.parent.iterdir()] == ["plain.img"]
    assert image.stat().st_size == SIZE


def test_every_file_and_folder_of_the_tree_is_listed(image: Path, tree: xfs.Tree, tool: xfs.ToolArgv) -> None:
    listed = xfsread.list_tree(image, tool)
    folders = {folder for path in tree for folder in path.parents if folder.parts}
    assert set(listed) == set(tree) | folders
    for path, content in tree.items():
        entry = listed[path]
        assert entry.kind == ("directory" if content is None else "regular")
        if isinstance(content, bytes):
            assert entry.size_bytes == len(content)
    assert listed[PurePosixPath("parcels/6dd3e6d0/checkpoints/1/disk-0.img")].size_bytes == DISK_BYTES


def test_small_files_are_read_back(image: Path, tree: xfs.Tree, tool: xfs.ToolArgv) -> None:
    small = [path for path, content in tree.items() if isinstance(content, bytes)]
    for path in [*small[:3], PurePosixPath("log/few/entry-7"), small[-1]]:
        assert xfsread.read_file(image, path, tool) == tree[path]


def test_a_disk_is_extracted_byte_for_byte_with_its_holes(
    tmp_path: Path, image: Path, tree: xfs.Tree, tool: xfs.ToolArgv
) -> None:
    path = PurePosixPath("parcels/6dd3e6d0/checkpoints/1/disk-0.img")
    xfsread.extract_file(image, path, tmp_path / "disk.img", tool)
    run(["cmp", tmp_path / "disk.img", str(tree[path])])
    assert (tmp_path / "disk.img").stat().st_blocks * 512 < 4 * MIB


def test_what_is_not_there_or_no_file_is_said(image: Path, tool: xfs.ToolArgv) -> None:
    with pytest.raises(BadInput, match="not in the store"):
        xfsread.read_file(image, PurePosixPath("parcels/none"), tool)
    with pytest.raises(BadInput, match="no file"):
        xfsread.read_file(image, PurePosixPath("parcels"), tool)
    with pytest.raises(BadInput, match="400 MiB"):
        xfsread.read_file(image, PurePosixPath("parcels/6dd3e6d0/checkpoints/1/disk-0.img"), tool)


def test_what_is_not_used_may_be_garbage(tmp_path: Path, image: Path, tree: xfs.Tree, tool: xfs.ToolArgv) -> None:
    used = xfs.used_ranges(image, tool)
    assert sum(end - start for start, end in used) < 80 * MIB
    other = tmp_path / "other.img"
    noise = random.Random(1).randbytes(MIB)
    with other.open("wb") as target, image.open("rb") as source:
        for _ in range(SIZE // MIB):
            target.write(noise)
        for start, end in used:
            source.seek(start)
            target.seek(start)
            target.write(source.read(end - start))
    xfs.check_xfs(other, tool)
    assert xfsread.list_tree(other, tool) == xfsread.list_tree(image, tool)
    path = PurePosixPath("parcels/6dd3e6d0/current")
    assert xfsread.read_file(other, path, tool) == tree[path]


def test_damage_is_found(tmp_path: Path, image: Path, tool: xfs.ToolArgv) -> None:
    run(["cp", "--sparse=always", image, tmp_path / "damaged.img"])
    root = int(xfs.query(image, tool, "sb 0", "print rootino").split()[-1])
    with (tmp_path / "damaged.img").open("r+b") as file:
        file.seek(root * 512)
        file.write(bytes(512))
    with pytest.raises(StoreDamaged):
        xfs.check_xfs(tmp_path / "damaged.img", tool)
    with pytest.raises(StoreDamaged):
        xfsread.list_tree(tmp_path / "damaged.img", tool)


def test_a_file_that_is_no_file_system_is_said_to_be_damaged(tmp_path: Path, tool: xfs.ToolArgv) -> None:
    (tmp_path / "zero.img").write_bytes(bytes(MIB))
    for read in (xfs.check_xfs, xfs.used_ranges, xfsread.list_tree):
        with pytest.raises(StoreDamaged):
            read(tmp_path / "zero.img", tool)


def scattered(path: Path, count: int, step_bytes: int) -> Path:
    with path.open("wb") as file:
        for index in range(count):
            file.seek(index * step_bytes)
            file.write(b"data")
        file.truncate(count * step_bytes)
    return path


@pytest.mark.parametrize("kind", ["empty", "dense", "scattered", "many folders"])
def test_a_tree_fits_into_its_least_size(tmp_path: Path, tool: xfs.ToolArgv, kind: str) -> None:
    trees: dict[str, dict[PurePosixPath, xfs.Content]] = {
        "empty": {},
        "dense": {PurePosixPath("big"): bytes(300 * MIB)},
        "scattered": {PurePosixPath("disk"): scattered(tmp_path / "disk", 56_000, 16 * KIB)},
        "many folders": {PurePosixPath(str(index)): None for index in range(6700)},
    }
    tree = trees[kind]
    size_bytes = xfs.least_size_bytes(tree)
    xfs.make_xfs(tmp_path / "image", size_bytes, tree, "parcels", tool)
    xfs.check_xfs(tmp_path / "image", tool)
    with pytest.raises(NoSpace):
        xfs.make_xfs(tmp_path / "less", size_bytes - MIB, tree, "parcels", tool)
    assert not (tmp_path / "less").exists()


MOUNT_AND_COMPARE = """
import hashlib, subprocess, sys
from pathlib import Path
device, mount_point, disk = sys.argv[1:]
subprocess.run(["mount", "-t", "xfs", "-o", "ro,norecovery", device, mount_point], check=True)
parcel = Path(mount_point) / "parcels/6dd3e6d0"
with (parcel / "checkpoints/1/disk-0.img").open("rb") as one, open(disk, "rb") as two:
    assert hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(two, "sha256").digest()
assert (parcel / "parcel.json").read_bytes().startswith(b'{"format"')
assert list((parcel / "live").iterdir()) == []
status = (parcel / "parcel.json").stat()
assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 0, 0o600)
assert (parcel.stat().st_mode & 0o777) == 0o711
assert len(list((Path(mount_point) / "log/many").iterdir())) == 600
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_linux_mounts_it_on_a_device_of_4096_byte_sectors(tmp_path: Path, image: Path, tree: xfs.Tree) -> None:
    try:
        loop = ["losetup", "--read-only", "--sector-size", "4096", "--find", "--show", str(image)]
        device = run(loop).stdout.strip()
    except ProgramFailed:
        pytest.skip("no loop device here")
    disk = tree[PurePosixPath("parcels/6dd3e6d0/checkpoints/1/disk-0.img")]
    try:
        # In a mount namespace of its own: what else runs here must not hold on to the mount.
        unshared = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNT_AND_COMPARE]
        run([*unshared, device, str(tmp_path), str(disk)])
    finally:
        run(["losetup", "--detach", device])
