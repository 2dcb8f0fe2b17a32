"""A restore that keeps what came from afar need not fetch it again; and it asks for many chunks at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lookaside.domain import ChunkId
from lookaside.repository import PACKS, Repository
from lookaside.source import Given
from soulpad.backup.restoring import Traffic, choose, restore
from soulpad.base.progress import Silent
from soulpad.store.layout import ParcelPaths

from .backup_parcels import UUID, content_of, make_parcel, make_repository, save
from .restoring import Restored


@pytest.fixture
def parcel(tmp_path: Path) -> ParcelPaths:
    return make_parcel(tmp_path / "stick")


@pytest.fixture
def repository(parcel: ParcelPaths, tmp_path: Path) -> Repository:
    made = make_repository(tmp_path / "repository")
    save(parcel.root, made, tmp_path / "seen")
    return made


def test_what_came_from_the_repository_comes_from_the_cache_the_next_time(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    first = Restored(capsys, tmp_path, "--cache", cache)
    assert first.contents == content_of(parcel.checkpoint(0))
    assert first.bytes[f"{repository.root}, into the cache"] > 0 == first.bytes[f"cache {cache}"]
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(repository.root / PACKS)
    (repository.root / PACKS).mkdir()
    again = Restored(capsys, tmp_path, "--cache", cache)
    assert again.contents == first.contents
    assert again.bytes[f"cache {cache}"] == first.bytes[f"{repository.root}, into the cache"]


def test_a_restore_that_broke_off_goes_on_where_it_was(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    (pack,) = [path for path in (repository.root / PACKS).rglob("*") if path.is_file()]
    whole = pack.read_bytes()
    middle = len(whole) // 2
    pack.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])  # one chunk is not to be had
    assert Restored(capsys, tmp_path, "--cache", cache).code in (70, 71)
    pack.write_bytes(whole)
    again = Restored(capsys, tmp_path, "--cache", cache)
    assert again.contents == content_of(parcel.checkpoint(0))
    assert again.bytes[f"cache {cache}"] > 0 < again.bytes[f"{repository.root}, into the cache"]


def test_a_folder_that_cannot_be_a_cache_is_told(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert Restored(capsys, tmp_path, "--cache", tmp_path / "file").code == 10
    assert not (tmp_path / "out").exists()


class Asked:
    """A source that has nothing, and notes how many chunks it is asked for at once."""

    name = "an empty one"

    def __init__(self) -> None:
        self.counts: list[int] = []

    def get(self, chunk_id: ChunkId) -> bytes:
        raise AssertionError("one by one")

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        self.counts.append(len(ids))
        return iter(())


def test_many_chunks_are_asked_for_at_once(parcel: ParcelPaths, repository: Repository, tmp_path: Path) -> None:
    again, asked = Repository.open(repository.root, repository.domain), Asked()
    restore(again, choose(again, UUID, None), tmp_path / "out", [asked], Traffic(), Silent())
    assert max(asked.counts) > 1
