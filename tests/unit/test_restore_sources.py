"""What is at hand when a parcel is restored may be stale, wrong, foreign or broken: it never changes the result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lookaside.domain import ChunkId
from lookaside.errors import ChunkMissing
from lookaside.images import ImagesSource, Places, image_sources, places_brought, places_of
from lookaside.readable import Readable
from lookaside.repository import PACKS, Repository
from lookaside.source import ChunkSource
from lookaside.versions import Version, chain_of, resolved
from soulpad.backup.restoring import Traffic, choose, restore
from soulpad.base.errors import BadInput, StoreDamaged
from soulpad.base.progress import Silent
from soulpad.store.layout import ParcelPaths

from .backup_parcels import FILES, UUID, ReadBytes, add_checkpoint, content_of, make_parcel, make_repository, save


class PulledOut:
    """An image whose medium is gone after so many reads."""

    def __init__(self, content: bytes, reads: int, error: Exception) -> None:
        self._image, self._reads, self._error = ReadBytes(content), reads, error
        self.size_bytes = len(content)

    def data_from(self, position: int) -> int:
        return position

    def read_at(self, position: int, count: int) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise self._error
        return self._image.read_at(position, count)


@pytest.fixture
def parcel(tmp_path: Path) -> ParcelPaths:
    paths = make_parcel(tmp_path / "stick")
    add_checkpoint(paths, 1, 0)
    return paths


@pytest.fixture
def repository(parcel: ParcelPaths, tmp_path: Path) -> Repository:
    made = make_repository(tmp_path / "repository")
    save(parcel.root, made, tmp_path / "seen")
    return Repository.open(made.root, made.domain)


def images_of(folder: Path) -> dict[str, ReadBytes]:
    return {name: ReadBytes(content) for name, content in content_of(folder).items()}


def flipped(content: bytes) -> bytes:
    return bytes(byte ^ (position % 1000 == 7) for position, byte in enumerate(content))


Images = Mapping[str, Readable]
BROKEN: dict[str, Callable[[ParcelPaths, Mapping[str, ReadBytes]], Images]] = {
    "nothing": lambda parcel, whole: {},
    "an older checkpoint": lambda parcel, whole: images_of(parcel.checkpoint(0)),
    "files cut short": lambda parcel, whole: {name: ReadBytes(image.content[:70_000]) for name, image in whole.items()},
    "flipped bits": lambda parcel, whole: {name: ReadBytes(flipped(image.content)) for name, image in whole.items()},
    "zeros": lambda parcel, whole: {name: ReadBytes(bytes(image.size_bytes)) for name, image in whole.items()},
    "files under each other's names": lambda parcel, whole: dict(
        zip(FILES, reversed(list(whole.values())), strict=True)
    ),
    "a medium that is pulled out": lambda parcel, whole: {
        name: PulledOut(image.content, 2, OSError(5, "Input/output error")) for name, image in whole.items()
    },
    "a store that is damaged here and there": lambda parcel, whole: {
        name: PulledOut(image.content, 1, StoreDamaged("a hole in it")) for name, image in whole.items()
    },
}


def version_of(repository: Repository) -> Version:
    return resolved(choose(repository, UUID, None).name, repository.manifest)


def places(repository: Repository) -> list[Places]:
    return [places_of(version_of(repository))]


@pytest.mark.parametrize("kind", BROKEN)
def test_whatever_a_source_holds_the_result_is_the_same(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, kind: str
) -> None:
    whole = images_of(parcel.checkpoint(1))
    sources = image_sources("old stick", repository.domain, places(repository), [BROKEN[kind](parcel, whole), whole])
    restore(repository, choose(repository, UUID, None), tmp_path / "out", sources, Traffic(), Silent())
    assert content_of(tmp_path / "out") == content_of(parcel.checkpoint(1))


def test_what_is_at_hand_need_not_come_from_the_repository(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    traffic = Traffic()
    sources = image_sources("old stick", repository.domain, places(repository), [images_of(parcel.checkpoint(1))])
    for path in (repository.root / PACKS).iterdir():
        shutil.rmtree(path)
    restore(repository, choose(repository, UUID, None), tmp_path / "out", sources, traffic, Silent())
    assert content_of(tmp_path / "out") == content_of(parcel.checkpoint(1))
    assert set(traffic.sources) == {"old stick (1)"}
    given = traffic.sources["old stick (1)"].content_bytes
    assert given == traffic.came.came_bytes and traffic.came.spared_bytes == traffic.content_bytes - given


def test_an_older_checkpoint_gives_what_did_not_change(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    traffic = Traffic()
    sources = image_sources("old stick", repository.domain, places(repository), [images_of(parcel.checkpoint(0))])
    restore(repository, choose(repository, UUID, None), tmp_path / "out", sources, traffic, Silent())
    assert traffic.sources["old stick (1)"].chunks and traffic.sources[repository.name].chunks


def test_what_was_overwritten_in_part_comes_from_the_checkpoint_that_brought_it(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    before, traffic = [parcel.checkpoint(1)], Traffic()
    add_checkpoint(parcel, 2, 1)
    save(parcel.root, repository, tmp_path / "seen")
    again = Repository.open(repository.root, repository.domain)
    stored = choose(again, UUID, None)
    where = [places_of(version_of(again)), places_brought(chain_of(stored.name, again.manifest))]
    moments = [images_of(folder) for folder in (parcel.checkpoint(2), *before)]
    for path in (again.root / PACKS).iterdir():
        shutil.rmtree(path)
    restore(again, stored, tmp_path / "out", image_sources("stick", again.domain, where, moments), traffic, Silent())
    assert content_of(tmp_path / "out") == content_of(parcel.checkpoint(2))
    assert traffic.sources["stick (1)"].chunks and traffic.sources["stick (2)"].chunks


def test_a_source_does_not_give_what_another_key_names(parcel: ParcelPaths, repository: Repository) -> None:
    version = version_of(repository)
    source = ImagesSource("old stick", repository.domain, images_of(parcel.checkpoint(1)), places_of(version))
    assert source.get(version.chunks[0])
    with pytest.raises(ChunkMissing):
        source.get(ChunkId(bytes(32)))


def test_a_folder_that_cannot_be_written_is_said_and_left_as_it_was(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    sources: list[ChunkSource] = []
    monkeypatch.setattr("os.fsync", read_only)
    with pytest.raises(BadInput, match="Read-only"):
        restore(repository, choose(repository, UUID, None), tmp_path / "out", sources, Traffic(), Silent())
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
