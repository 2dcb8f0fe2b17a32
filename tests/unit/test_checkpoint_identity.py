"""Files of different moments are never resumed together, however they came into one folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soulpad.base.errors import CannotResume, StoreDamaged
from soulpad.base.run import run
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    MANIFEST_NAME,
    RAM_NAME,
    CheckpointManifest,
    FileIdentity,
    expected_files,
    identity_of,
    verified,
)
from tests.unit.parcel_store import (
    NEW,
    OLD,
    commit_with_identity,
    make_parcel,
    require_refused,
    state_of,
)

NEWER = NEW + 1
DISK_NAME = "disk-0.img"
FILES = (RAM_NAME, DISK_NAME, DEVICE_STATE_NAME)
LARGE_FILES = (RAM_NAME, DISK_NAME)  # nothing but their identity tells them from another moment's


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    """Two suspended sessions beside what the builder made, whose files nobody knows."""
    made = make_parcel(tmp_path)
    commit_with_identity(made, NEW)
    commit_with_identity(made, NEWER)
    return made


def cp(source: Path, target: Path) -> None:
    target.unlink()
    run(["cp", source, target])


def cp_over(source: Path, target: Path) -> None:
    run(["cp", "--no-preserve=all", source, target])


def cp_p(source: Path, target: Path) -> None:
    target.unlink()
    run(["cp", "--archive", source, target])


def cp_p_over(source: Path, target: Path) -> None:
    run(["cp", "--archive", source, target])


def mv(source: Path, target: Path) -> None:
    run(["mv", "--force", source, target])


def hard_link(source: Path, target: Path) -> None:
    run(["ln", "--force", source, target])


def symbolic_link(source: Path, target: Path) -> None:
    run(["ln", "--force", "--symbolic", source, target])


WAYS = (cp, cp_over, cp_p, cp_p_over, mv, hard_link, symbolic_link)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("source", "target"), [(NEWER, NEW), (OLD, NEWER)])
def test_a_file_of_another_moment_is_refused_whichever_way_it_came(
    parcel: Parcel, name: str, way: Callable[[Path, Path], None], source: int, target: int
) -> None:
    way(parcel.paths.checkpoint(source) / name, parcel.paths.checkpoint(target) / name)
    require_refused(parcel, target, name)


@pytest.mark.parametrize("name", LARGE_FILES)
def test_two_files_that_changed_places_are_refused_in_both_and_accepted_back_in_their_own(
    parcel: Parcel, name: str
) -> None:
    one, other = (parcel.paths.checkpoint(moment) / name for moment in (NEW, NEWER))
    swap(one, other)
    require_refused(parcel, NEW, name)
    require_refused(parcel, NEWER, name)
    swap(one, other)
    assert [found.generation for found in parcel.whole_checkpoints()] == [NEWER, NEW, OLD]


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@pytest.mark.parametrize("name", LARGE_FILES)
def test_a_byte_written_into_a_file_at_rest_is_noticed(parcel: Parcel, name: str) -> None:
    with (parcel.paths.checkpoint(NEWER) / name).open("r+b") as file:
        file.seek(4097)
        file.write(b"\x01")
    require_refused(parcel, NEWER, name)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_or_missing_file_is_named(parcel: Parcel, name: str) -> None:
    path = parcel.paths.checkpoint(NEWER) / name
    os.truncate(path, path.stat().st_size - 1)
    require_refused(parcel, NEWER, f"{name} has")
    path.unlink()
    require_refused(parcel, NEWER, f"{name} is missing")


def test_a_flipped_bit_of_the_device_state_is_noticed_even_where_its_times_are_unchanged(parcel: Parcel) -> None:
    path = parcel.paths.checkpoint(NEWER) / DEVICE_STATE_NAME
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    require_refused(parcel, NEWER, DEVICE_STATE_NAME)


def test_reading_giving_away_and_renaming_the_folder_change_no_identity(parcel: Parcel) -> None:
    folder = parcel.paths.checkpoint(NEWER)
    for name in FILES:
        (folder / name).read_bytes()
        (folder / name).chmod(0o640)
    folder.rename(folder.with_name("elsewhere"))
    folder.with_name("elsewhere").rename(folder)
    assert parcel.current().generation == NEWER


def test_a_cold_start_asks_for_the_disks_alone(parcel: Parcel) -> None:
    folder = parcel.paths.checkpoint(NEWER)
    cp(parcel.paths.checkpoint(NEW) / RAM_NAME, folder / RAM_NAME)
    (folder / DEVICE_STATE_NAME).unlink()
    require_refused(parcel, NEWER, DEVICE_STATE_NAME)
    assert parcel.with_whole_disks(NEWER).generation == NEWER
    cp(parcel.paths.checkpoint(NEW) / DISK_NAME, folder / DISK_NAME)
    with pytest.raises(CannotResume, match=DISK_NAME):
        parcel.with_whole_disks(NEWER)
    newest = parcel.newest_whole_disks()
    assert newest and newest.generation == NEW


def test_a_checkpoint_of_the_builder_has_no_identity_and_may_be_copied(parcel: Parcel, tmp_path: Path) -> None:
    assert parcel.verified(OLD).identity == ()
    copy = tmp_path / "copy"
    run(["cp", "--recursive", parcel.paths.checkpoint(OLD), copy])
    assert verified(copy, OLD).generation == OLD


def test_what_a_manifest_knows_of_other_files_is_no_reason_to_refuse(parcel: Parcel) -> None:
    folder = parcel.paths.checkpoint(NEWER)
    manifest = parcel.verified(NEWER)
    stranger = FileIdentity("../../../somewhere/else", 1, 1)
    (folder / MANIFEST_NAME).write_bytes(replace(manifest, identity=(*manifest.identity, stranger)).encode())
    assert parcel.verified(NEWER).generation == NEWER


def test_identity_is_written_and_read_back_to_the_nanosecond(tmp_path: Path) -> None:
    (tmp_path / "ram.img").write_bytes(b"ram")
    os.utime(tmp_path / "ram.img", ns=(1, 1763700000123456789))
    [found] = identity_of(tmp_path, ["ram.img"])
    assert found == FileIdentity("ram.img", (tmp_path / "ram.img").stat().st_ino, 1763700000123456789)
    manifest = CheckpointManifest(1, None, 1763700000, (), identity=(found,))
    assert CheckpointManifest.decode(manifest.encode()).identity == (found,)


@pytest.mark.parametrize(
    "damaged",
    [
        b'"inode": -1',
        b'"inode": "12"',
        b'"inode": null',
        b'"inode": 1.5',
    ],
)
def test_an_identity_that_is_no_number_is_a_damaged_manifest(damaged: bytes) -> None:
    manifest = CheckpointManifest(1, None, 1763700000, (), identity=(FileIdentity("ram.img", 12, 13),))
    content = manifest.encode().replace(b'"inode": 12', damaged)
    assert content != manifest.encode()
    with pytest.raises(StoreDamaged, match=r"checkpoint\.json"):
        CheckpointManifest.decode(content)


def test_an_unknown_occasion_is_a_damaged_manifest(parcel: Parcel) -> None:
    path = parcel.paths.checkpoint(NEWER) / MANIFEST_NAME
    path.write_bytes(path.read_bytes().replace(b'"created"', b'"by accident"'))
    with pytest.raises(StoreDamaged, match="by accident"):
        parcel.verified(NEWER)


def test_identity_asks_only_for_files_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        identity_of(tmp_path, expected_files(CheckpointManifest(1, None, 0, (512,))))


def test_looking_at_every_checkpoint_changes_nothing(parcel: Parcel) -> None:
    before = state_of(parcel.paths.root)
    parcel.whole_checkpoints()
    parcel.newest_whole_disks()
    parcel.manifests()
    assert state_of(parcel.paths.root) == before
