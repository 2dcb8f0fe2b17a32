"""Every byte of every file of a repository, flipped; every file cut short, swapped for another valid one, or taken back
to an older version: what is read then is right, or an error, and checking the names finds it always."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lookaside import pack
from lookaside.domain import Domain
from lookaside.extentmap import UNIT_BYTES
from lookaside.making import VersionMaker
from lookaside.manifest import require_place, version_name
from lookaside.repository import DESCRIPTION, MANIFESTS, PACKS, VERSIONS, Repository
from lookaside.upload import uploading
from lookaside.versions import Version, resolved
from soulpad.base.errors import SoulpadError

from .shelves import DOMAIN

PARCELS = ("6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b", "0f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b")
NAME = "disk-0.img"
CONTENTS = [[b"one" * 100, b"two" * 1500], [b"other" * 80, b"another" * 90]]


def make(root: Path, parcels: int) -> Path:
    """A repository with so many parcels of two versions each; the second version is a difference."""
    repository, scratch = Repository.create(root, DOMAIN), root.with_name("image")
    for parcel, contents in list(zip(PARCELS, CONTENTS, strict=True))[:parcels]:
        for number, content in enumerate(contents):
            scratch.write_bytes(content)
            with uploading(repository) as upload:
                maker = VersionMaker(DOMAIN, upload)
                maker.add_image(NAME, scratch, [(0, len(content))] if number else None)
                newest = repository.newest(parcel)
                upload.commit(maker.manifest(parcel, number, newest, newest, {}))
    assert require_right_or_absent(root) == 0
    return root


def read(root: Path, parcel: str, number: int, domain: Domain = DOMAIN) -> bytes:
    """A version's image, as whoever restores it reads it. Raises SoulpadError."""
    repository = Repository.open(root, domain)
    name = repository.versions(parcel)[number]
    require_place(repository.manifest(name), parcel, number)
    return content_of(repository, resolved(name, repository.manifest))


def content_of(repository: Repository, version: Version) -> bytes:
    image = version.images[NAME]
    content = bytearray(image.image_bytes)
    for extent in image.extents:
        part = repository.get(version.chunks[extent.chunk])[extent.chunk_offset * UNIT_BYTES :]
        start = extent.start * UNIT_BYTES
        content[start : start + len(part)] = part[: extent.units * UNIT_BYTES]
    return bytes(content)


def results(root: Path, parcels: list[str]) -> Iterator[bytes | None]:
    """What is read of each version; None: an error that says so."""
    for parcel in parcels:
        for number in range(2):
            try:
                yield read(root, parcel, number)
            except SoulpadError as error:
                assert error.message
                yield None
            except KeyError:  # its number is not there
                yield None


WHOLE = [content for contents in CONTENTS for content in contents]


def require_right_or_absent(root: Path) -> int:
    """Asserts that nothing wrong is read; returns how many versions are absent."""
    parcels = [parcel for parcel in PARCELS if (root / VERSIONS / parcel).exists()]
    found = list(results(root, parcels))
    assert all(one in (None, whole) for one, whole in zip(found, WHOLE, strict=False))
    return found.count(None)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("corruption") / "repository", parcels=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("corruption") / "repository", parcels=1)


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """The file with other bytes, while the block lasts."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


def is_named_rightly(path: Path) -> bool:
    """Whether a pack or a manifest is what its name says."""
    content = path.read_bytes()
    return path.name == (version_name(content) if MANIFESTS in path.parts else pack.name_of([content]))


def test_a_repository_has_a_file_of_every_kind(repository: Path) -> None:
    kinds = {path.relative_to(repository).parts[0] for path in files(repository)}
    assert {PACKS, MANIFESTS, VERSIONS, DESCRIPTION} <= kinds


@pytest.mark.parametrize(("mask", "step"), [(0x01, 1), (0x80, 5), (0xFF, 7)])
def test_a_flipped_byte_anywhere_gives_nothing_wrong_and_is_found_by_the_names(
    small: Path, mask: int, step: int
) -> None:
    for path in files(small):
        whole = path.read_bytes()
        for position in range(0, len(whole), step):
            flipped = bytearray(whole)
            flipped[position] ^= mask
            with replaced(path, bytes(flipped)):
                absent = require_right_or_absent(small)
                if {PACKS, MANIFESTS} & set(path.parts):
                    assert not is_named_rightly(path)
                if MANIFESTS in path.parts:
                    assert absent


def test_a_file_cut_short_anywhere_gives_nothing_wrong(small: Path) -> None:
    for path in files(small):
        whole = path.read_bytes()
        for length in {*range(0, len(whole), 5), len(whole) - 1}:
            with replaced(path, whole[:length]):
                absent = require_right_or_absent(small)
                if {PACKS, MANIFESTS} & set(path.parts):
                    assert absent and not is_named_rightly(path)


def test_two_valid_files_swapped_give_nothing_wrong_and_are_noticed(repository: Path) -> None:
    for kind in (PACKS, MANIFESTS, VERSIONS):
        found = files(repository / kind)
        for one in found:
            for other in found:
                if one != other:
                    contents = one.read_bytes(), other.read_bytes()
                    with replaced(one, contents[1]), replaced(other, contents[0]):
                        absent = require_right_or_absent(repository)
                        # what is in a pack is found whatever its name; that the name is wrong is noticed
                        assert absent or (kind == PACKS and not is_named_rightly(one))


def test_a_version_taken_back_to_an_older_one_is_noticed(repository: Path) -> None:
    for parcel in PARCELS:
        old, new = sorted((repository / VERSIONS / parcel).iterdir())
        with replaced(new, old.read_bytes()):
            assert require_right_or_absent(repository) == 1
        names = [path.read_text().strip() for path in (old, new)]
        manifests = [repository / MANIFESTS / name[:2] / name for name in names]
        with replaced(manifests[1], manifests[0].read_bytes()):
            assert require_right_or_absent(repository) == 1


def test_a_chunk_put_in_another_ones_place_is_noticed_with_all_checks_right(repository: Path, tmp_path: Path) -> None:
    contents = [b"first" * 100, b"other" * 100]
    ids = [DOMAIN.chunk_id(content) for content in contents]
    sealed = [pack.seal_chunk(DOMAIN, chunk_id, content) for chunk_id, content in zip(ids, contents, strict=True)]
    path = tmp_path / "pack"
    with path.open("wb") as file:
        writer = pack.PackWriter(file, DOMAIN.public_id)
        entries = [writer.add(ids[index], len(contents[index]), sealed[1 - index]) for index in range(2)]
        writer.finish()
    with path.open("rb") as file:
        assert pack.read_entries(file, path.stat().st_size) == entries
    for index in range(2):
        with pytest.raises(SoulpadError, match="damaged"):
            pack.open_chunk(DOMAIN, entries[index], sealed[1 - index].body)


def test_another_key_reads_nothing(repository: Path) -> None:
    for parcel in PARCELS:
        with pytest.raises(SoulpadError):
            read(repository, parcel, 0, Domain.new())
