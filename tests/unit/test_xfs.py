"""What is asked of mkfs.xfs and understood from xfs_db, without either."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from builder.store import xfs
from soulpad.base.errors import BadInput, NoSpace
from soulpad.base.units import MIB


def tree(**contents: xfs.Content) -> dict[PurePosixPath, xfs.Content]:
    return {PurePosixPath(path.replace("__", "/")): content for path, content in contents.items()}


def test_a_protofile_names_folders_files_and_their_ends() -> None:
    branches = xfs.branches_of(tree(parcels__one__current=b"1\n", log=None, parcels__one__disk=Path("/some/disk")))
    assert xfs.protofile(branches).splitlines() == [
        "/",
        "0 0",
        "d--711 0 0",
        "log d--711 0 0",
        "$",
        "parcels d--711 0 0",
        "one d--711 0 0",
        "current ---600 0 0 source-0",
        "disk ---600 0 0 source-2",
        "$",
        "$",
        "$",
    ]


@pytest.mark.parametrize("name", ["/abs", "a b", "a:b", "$", "../up", "a/../b", "", "ä", "new\nline", "x" * 256])
def test_names_that_a_protofile_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be stored"):
        xfs.branches_of({PurePosixPath(name): b""})


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a")])
def test_a_path_cannot_be_a_file_and_a_folder(paths: tuple[str, str]) -> None:
    with pytest.raises(BadInput):
        xfs.branches_of({PurePosixPath(path): b"" for path in paths})


def test_a_folder_may_be_named_besides_its_files() -> None:
    assert xfs.branches_of(tree(a__b=b"", a=None)) == xfs.branches_of(tree(a__b=b""))


def test_holes_of_a_source_need_no_room(tmp_path: Path) -> None:
    sparse = tmp_path / "disk"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(os.urandom(MIB))
    assert xfs.least_size_bytes(tree(disk=sparse)) == xfs.LEAST_XFS_BYTES


def test_a_tree_too_large_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    contents = tree(big=bytes(400 * MIB))
    with pytest.raises(NoSpace, match="parcels need"):
        xfs.make_xfs(tmp_path / "image", 400 * MIB, contents, "label", lambda *_: ["false"])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_mkfs_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="false ended with 1"):
        xfs.make_xfs(tmp_path / "image", 300 * MIB, tree(small=b"x"), "label", lambda *_: ["false"])
    assert list(tmp_path.iterdir()) == []


FREE = """\
agblocks = 100
blocksize = 4096
dblocks = 350
fdblocks = {counted}
    agno    agbno      len
       2        0      100
       0       10       90
       1        0       50
       3       40       10
   from      to extents blocks    pct blkcdf extcdf
     32      63       2     60   24.00 100.00 100.00
"""


def answer(text: str) -> xfs.ToolArgv:
    return lambda *_: ["echo", text]


def test_used_is_what_lies_between_the_free_extents_of_all_groups() -> None:
    used = xfs.used_ranges(Path("image"), answer(FREE.format(counted=250)))
    assert used == [(0, 10 * 4096), (150 * 4096, 200 * 4096), (300 * 4096, 340 * 4096)]


def test_a_free_list_longer_than_its_count_is_not_believed() -> None:
    with pytest.raises(Exception, match="more free blocks"):
        xfs.used_ranges(Path("image"), answer(FREE.format(counted=249)))
