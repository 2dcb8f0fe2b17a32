"""Verifying and recovering a real image: made by the builder's parts, then damaged where it hurts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from builder.disk import partitions
from builder.recover import recover_stick
from builder.store import xfs
from builder.store.plainview import plain_view
from builder.store.storewalk import files_in
from builder.store.xfswalk import Xfs
from builder.verify import verify_stick
from soulpad.base.errors import BadImage, BadInput, WrongPassphrase
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.base.secrets import generate_passphrase
from soulpad.base.units import MIB
from soulpad.cli.main import main
from soulpad.store.layout import PARCELS
from soulpad.store.stick import PAYLOAD_OFFSET_BYTES
from tests.component.smallstick import (
    DISK_BYTES,
    PASSPHRASE,
    WORK,
    parcel_tree,
    small_stick,
)

pytestmark = pytest.mark.component

DISK = "disk-0.img"
WORK_CHECKPOINT = PurePosixPath("parcels", WORK.uuid, "checkpoints/2")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[PurePosixPath, xfs.Content]:
    """The parcel that is whole."""
    found = parcel_tree(tmp_path_factory.mktemp("guest"))
    return {path: content for path, content in found.items() if WORK.uuid in path.parts}


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory, tree: dict[PurePosixPath, xfs.Content]) -> Path:
    return small_stick(tmp_path_factory.mktemp("stick"), tree)


@pytest.fixture
def altered(stick: Path, tmp_path: Path) -> Iterator[Callable[[PurePosixPath], Path]]:
    """A copy of the stick with other bytes in one block of a file."""

    def copy(name: PurePosixPath) -> Path:
        path = tmp_path / "altered.img"
        run(["cp", "--sparse=always", stick, path])
        store = partitions.read_layout(stick).of("parcels")
        with plain_view(stick, store, PASSPHRASE) as view:
            (file,) = [file for file in files_in(Xfs(view), view, PARCELS, []) if file.path == name]
            place = file.image.extents()[0].physical_bytes
        with path.open("r+b") as image:
            image.seek(store.offset_bytes + PAYLOAD_OFFSET_BYTES + place)
            image.write(os.urandom(4096))
        return path

    yield copy


def test_a_whole_stick_is_whole_and_all_of_its_files_were_read(stick: Path) -> None:
    found = verify_stick(stick, PASSPHRASE)
    assert found.problems == []
    assert found.checkpoints == 2
    assert found.file_bytes_read == found.file_bytes >= 3 * MIB


def test_without_a_secret_the_public_part_is_verified(stick: Path) -> None:
    found = verify_stick(stick)
    assert found.problems == [] and found.checkpoints == 0 and found.file_bytes == 0


def test_a_share_reads_less(stick: Path) -> None:
    found = verify_stick(stick, PASSPHRASE, share=0.01)
    assert found.problems == [] and 0 < found.file_bytes_read < found.file_bytes


def test_a_device_state_that_was_altered_is_found(
    altered: Callable[[PurePosixPath], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = altered(WORK_CHECKPOINT / "device-state")
    (problem,) = verify_stick(path, PASSPHRASE).problems
    assert "device-state is not what was saved" in problem and "checkpoint 2" in problem
    (tmp_path / "secret").write_bytes(PASSPHRASE.reveal())
    assert main(["verify", str(path), "--passphrase-file", str(tmp_path / "secret")]) == 51
    assert "device-state" in capsys.readouterr().err


def test_what_is_no_stick_or_does_not_open_is_refused(stick: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongPassphrase):
        verify_stick(stick, generate_passphrase())
    (tmp_path / "nothing").write_bytes(bytes(MIB))
    with pytest.raises(BadImage):
        verify_stick(tmp_path / "nothing", PASSPHRASE)


def test_all_files_of_a_whole_stick_are_recovered(
    stick: Path, tree: dict[PurePosixPath, xfs.Content], tmp_path: Path
) -> None:
    before = stick.stat().st_mtime_ns
    found = recover_stick(stick, PASSPHRASE, tmp_path / "files", Silent(), partial=False)
    assert found.problems == [] and found.lost == {} and found.files == len(tree)
    for name, content in tree.items():
        saved = tmp_path.joinpath("files", *name.parts)
        assert saved.read_bytes() == (content if isinstance(content, bytes) else Path(str(content)).read_bytes())
    assert stick.stat().st_mtime_ns == before
    disk = tmp_path.joinpath("files", *(WORK_CHECKPOINT / DISK).parts)
    assert disk.stat().st_blocks * 512 < DISK_BYTES / 2
    with pytest.raises(BadInput):
        recover_stick(stick, PASSPHRASE, tmp_path / "files", Silent(), partial=False)


@pytest.fixture
def bad_block(stick: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The second block of the current disk cannot be read; where it lies in the disk."""
    store = partitions.read_layout(stick).of("parcels")
    with plain_view(stick, store, PASSPHRASE) as view:
        (disk,) = [file for file in files_in(Xfs(view), view, PARCELS, []) if file.path == WORK_CHECKPOINT / DISK]
        extent = disk.image.extents()[0]
    bad = store.offset_bytes + PAYLOAD_OFFSET_BYTES + extent.physical_bytes + 4096
    pread = os.pread

    def failing(descriptor: int, count: int, offset: int) -> bytes:
        if offset <= bad < offset + count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    return extent.logical_bytes + 4096


def test_a_block_that_cannot_be_read_is_found(stick: Path, bad_block: int) -> None:
    problems = verify_stick(stick, PASSPHRASE).problems
    assert any(DISK in problem for problem in problems)


@pytest.mark.parametrize("partial", [False, True])
def test_of_a_file_that_cannot_be_read_all_it_is_said_what_is_lost(
    stick: Path, bad_block: int, tree: dict[PurePosixPath, xfs.Content], tmp_path: Path, partial: bool
) -> None:
    found = recover_stick(stick, PASSPHRASE, tmp_path / "files", Silent(), partial=partial)
    lost = {name: spans for name, spans in found.lost.items() if str(WORK_CHECKPOINT) in name}
    assert lost == {str(WORK_CHECKPOINT / DISK): [(bad_block, bad_block + 4096)]}
    assert found.files == len(tree) - (0 if partial else len(found.lost))
    saved = tmp_path.joinpath("files", *(WORK_CHECKPOINT / DISK).parts)
    assert saved.exists() == partial
    assert not list((tmp_path / "files").rglob("*.partial"))
    if partial:
        whole = Path(str(tree[WORK_CHECKPOINT / DISK])).read_bytes()
        assert saved.read_bytes() == whole[:bad_block] + bytes(4096) + whole[bad_block + 4096 :]


def test_of_a_stick_that_is_cut_short_the_rest_is_recovered(
    stick: Path, tree: dict[PurePosixPath, xfs.Content], tmp_path: Path
) -> None:
    store = partitions.read_layout(stick).of("parcels")
    with plain_view(stick, store, PASSPHRASE) as view:
        files = list(files_in(Xfs(view), view, PARCELS, []))
        ends = {file.path: max(e.physical_bytes + e.length_bytes for e in file.image.extents()) for file in files}
    last = max(ends, key=lambda name: ends[name])
    cut = tmp_path / "cut.img"
    run(["cp", "--sparse=always", stick, cut])
    os.truncate(cut, store.offset_bytes + PAYLOAD_OFFSET_BYTES + ends[last] - 4096)
    with pytest.raises(BadImage, match="truncated"):
        verify_stick(cut, PASSPHRASE)
    found = recover_stick(cut, PASSPHRASE, tmp_path / "files", Silent(), partial=False)
    assert any("cut short" in problem for problem in found.problems)
    assert str(last) in found.lost
    assert found.files == len(tree) - len(found.lost)
