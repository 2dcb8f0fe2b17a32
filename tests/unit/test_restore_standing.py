"""A stick whose parcel went on gives what it still has of chunks that were overwritten in part, by the commands."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from lookaside.collecting import collect
from lookaside.marks import pinned
from lookaside.outlines import is_outlines
from lookaside.outlining import MOST_KEPT, kept
from lookaside.repository import MANIFESTS, PACKS, Repository
from lookaside.salvaging import salvage
from lookaside.upload import uploading
from lookaside.verifying import verify
from lookaside.versions import Version, resolved
from soulpad.store.checkpoint import disk_name
from soulpad.store.layout import ParcelPaths
from soulpad.store.versionfacts import all_facts

from .backup_parcels import (
    DISK_BYTES,
    FILES,
    RAM_BYTES,
    UUID,
    add_checkpoint,
    content_of,
    make_parcel,
    make_repository,
    restored,
    save,
)
from .restoring import Restored

PAGE, CHUNK = 4096, 1 << 20


def overwrite(paths: ParcelPaths, generation: int, page: int) -> None:
    """Writes one page into each chunk of a checkpoint's disk."""
    disk = paths.checkpoint(generation) / disk_name(0)
    content = bytearray(disk.read_bytes())
    for start in range(page * PAGE, DISK_BYTES, CHUNK):
        content[start : start + PAGE] = random.Random(start + generation).randbytes(PAGE)
    disk.write_bytes(content)


@pytest.fixture
def parcel(tmp_path: Path) -> ParcelPaths:
    """A checkpoint whose disk is full."""
    paths = make_parcel(tmp_path / "store")
    (paths.checkpoint(0) / disk_name(0)).write_bytes(random.Random(1).randbytes(DISK_BYTES))
    return paths


@pytest.fixture
def repository(parcel: ParcelPaths, tmp_path: Path) -> Repository:
    """Its second version overwrites a page of each of the disk's chunks."""
    made = make_repository(tmp_path / "repository")
    save(parcel.root, made, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0)
    overwrite(parcel, 1, 77)
    save(parcel.root, made, tmp_path / "seen")
    return Repository.open(made.root, made.domain)


def newest(repository: Repository) -> Version:
    again = Repository.open(repository.root, repository.domain)
    name = again.newest(UUID)
    assert name
    return resolved(name, again.manifest)


def outlines_of(version: Version) -> dict[str, int]:
    return {name: image.image_bytes for name, image in version.images.items() if is_outlines(name)}


def test_once_the_first_checkpoint_is_gone_the_stick_still_gives_all_but_the_outlines(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stick = shutil.move(parcel.checkpoint(1), tmp_path / "stick")
    found = Restored(capsys, tmp_path, "--source", stick)
    assert found.code == 0 and found.contents == content_of(Path(stick))
    outlines = outlines_of(newest(repository))
    assert found.bytes[str(repository.root)] <= sum(outlines.values()) < DISK_BYTES // 100
    assert found.bytes[f"{stick} (1)"] > DISK_BYTES


def test_what_is_restored_or_told_to_people_has_no_outlines(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    assert list(outlines_of(newest(repository))) == ["outlines-0", "outlines-1"]
    folder = restored(repository, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {*FILES, "parcel.json", "checkpoint.json"}
    state_and_hint = 20_000 + 100
    assert [facts.image_bytes for facts in all_facts(repository, UUID)] == [DISK_BYTES + RAM_BYTES + state_and_hint] * 2


def test_an_older_version_is_restored_from_a_stick_that_went_on(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Restored(capsys, tmp_path, "--source", parcel.checkpoint(1), "--version", "0")
    assert found.code == 0 and found.contents == content_of(parcel.checkpoint(0))


def test_outlines_are_kept_where_the_base_is_gone_from_the_stick(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_checkpoint(parcel, 2, 1)
    overwrite(parcel, 2, 99)
    for generation in range(2):
        shutil.rmtree(parcel.checkpoint(generation))
    save(parcel.root, repository, tmp_path / "seen")
    version = newest(repository)
    assert version.manifest.base is None
    assert list(outlines_of(version)) == ["outlines-0", "outlines-1", "outlines-2"]
    add_checkpoint(parcel, 3, 2)
    save(parcel.root, repository, tmp_path / "seen")
    found = Restored(capsys, tmp_path, "--source", parcel.checkpoint(3))
    assert found.contents == content_of(parcel.checkpoint(3))
    assert found.bytes[str(repository.root)] <= sum(outlines_of(newest(repository)).values())


def test_chunks_that_another_parcel_brought_have_outlines_too(
    parcel: ParcelPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = make_repository(tmp_path / "repository")
    another = make_parcel(tmp_path / "other", "1b9d5c4e-7a51-4f0e-9a5e-6b1d3f2c8e77", "play")
    for name in FILES:
        shutil.copy(parcel.checkpoint(0) / name, another.checkpoint(0) / name)
    assert save(another.root, repository, tmp_path / "seen").new_chunks > 4
    assert save(parcel.root, repository, tmp_path / "seen").new_chunks == 0, "not even the outlines"
    add_checkpoint(parcel, 1, 0)
    overwrite(parcel, 1, 5)
    save(parcel.root, repository, tmp_path / "seen")
    found = Restored(capsys, tmp_path, "--source", parcel.checkpoint(1), "--parcel", UUID)
    assert found.contents == content_of(parcel.checkpoint(1))
    assert found.bytes[str(repository.root)] <= sum(outlines_of(newest(repository)).values())


def test_outlines_outlive_the_versions_that_brought_them(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pinned(repository.root) as pin:
        repository.forget(UUID, 0, pin)
    for _ in range(2):
        collect(Repository.open(repository.root, repository.domain), rewrite_below=1.0)
    assert verify(repository.root, repository.domain).whole
    found = Restored(capsys, tmp_path, "--source", parcel.checkpoint(1))
    assert found.contents == content_of(parcel.checkpoint(1))
    assert found.bytes[str(repository.root)] <= sum(outlines_of(newest(repository)).values())


# --- outlines that are lost


def packs_of(repository: Repository, name: str) -> set[Path]:
    version, places = newest(repository), repository.places()
    found = {places[version.chunks[extent.chunk]][0] for extent in version.images[name].extents}
    return {repository.path(PACKS, pack) for pack in found}


@pytest.fixture
def without_outlines(parcel: ParcelPaths, tmp_path: Path) -> Repository:
    """Like the other, and its first outlines, in a pack of their own, are lost."""
    made = make_repository(tmp_path / "repository")
    save(parcel.root, made, tmp_path / "seen")
    version = newest(made)
    (extent,) = version.images["outlines-0"].extents
    chunk_id = version.chunks[extent.chunk]
    places = Repository.open(made.root, made.domain)
    contents = {one: places.get(one) for one in version.chunks if one != chunk_id}
    for path in packs_of(places, "outlines-0"):
        path.unlink()
    with uploading(Repository.open(made.root, made.domain)) as upload:
        for one, content in contents.items():
            upload.put(one, content)
        upload.finish_pack()
    return Repository.open(made.root, made.domain)


def test_lost_outlines_cost_no_version_and_hinder_no_backup(
    parcel: ParcelPaths, without_outlines: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = without_outlines
    found = verify(repository.root, repository.domain)
    assert found.whole and ["version 0 lacks outlines" in note for note in found.notes] == [True]
    assert salvage(repository.root, repository.domain, tmp_path / "salvaged").all_saved
    add_checkpoint(parcel, 1, 0)
    overwrite(parcel, 1, 77)
    save(parcel.root, repository, tmp_path / "seen")
    assert list(outlines_of(newest(repository))) == ["outlines-1"]
    came = Restored(capsys, tmp_path, "--source", parcel.checkpoint(1))
    assert came.contents == content_of(parcel.checkpoint(1))
    assert came.bytes[str(repository.root)] > DISK_BYTES - CHUNK, "whole chunks came"


def test_of_very_many_outlines_the_first_and_the_newest_stay(repository: Repository) -> None:
    version = newest(repository)
    many = {f"outlines-{number}": version.images["outlines-0"] for number in range(200)}
    many |= {"outlines-": version.images["outlines-0"], disk_name(0): version.images[disk_name(0)]}
    names = kept(Version(version.name, version.manifest, many, version.chunks, version.chunk_units), repository.has)
    assert names == ["outlines-0", *(f"outlines-{number}" for number in range(200 - MOST_KEPT + 2, 200))]
    assert len(names) == MOST_KEPT - 1


# --- manifests that are lost


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_manifest_that_the_repository_lost_comes_from_another_copy(
    parcel: ParcelPaths,
    repository: Repository,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: int,
    damage: Any,
) -> None:
    shutil.copytree(repository.root, tmp_path / "copy")
    damage(repository.path(MANIFESTS, repository.versions(UUID)[number]))
    shutil.rmtree(tmp_path / "copy" / PACKS)
    (tmp_path / "copy" / PACKS).mkdir()
    assert Restored(capsys, tmp_path).code == 73
    for place in ("no such place", tmp_path / "store"):
        assert Restored(capsys, tmp_path, "--source", place).code == 73
    found = Restored(capsys, tmp_path, "--source", "no such place", "--source", tmp_path / "copy")
    assert found.code == 0 and found.contents == content_of(parcel.checkpoint(1))
