"""Repositories: what was committed is there whole, two writers overwrite nothing, and a cut leaves no half."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookaside.cutting import CHUNK_BYTES
from lookaside.domain import Domain
from lookaside.errors import ChunkMissing, CorruptChunk, DamagedManifest, ForeignDomain, NoRepository, VersionTaken
from lookaside.making import VersionMaker
from lookaside.manifest import VersionName
from lookaside.repository import DESCRIPTION, PACKS, Repository
from lookaside.upload import uploading
from lookaside.versions import resolved
from soulpad.base.errors import UnknownFormat
from tests.unit.power import cut_if_it_comes_to, steps_of

from .shelves import DOMAIN, write_sparse

PARCEL = "6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b"
FIRST = b"\x01" * (2 * CHUNK_BYTES + 100)
SECOND = b"\x01" * (CHUNK_BYTES + 7) + b"\x02" * CHUNK_BYTES


def back_up(repository: Repository, content: bytes, scratch: Path) -> VersionName:
    """A keyframe of one image, as the parcel's next version."""
    write_sparse(scratch, content)
    known = repository.versions(PARCEL)
    with uploading(repository) as upload:
        maker = VersionMaker(repository.domain, upload)
        maker.add_image("disk-0.img", scratch)
        number = max(known, default=-1) + 1
        return upload.commit(maker.manifest(PARCEL, number, known.get(number - 1), None, {}))


def content_of(repository: Repository, name: VersionName) -> bytes:
    version = resolved(name, repository.manifest)
    image = version.images["disk-0.img"]
    content = bytearray(image.image_bytes)
    for extent in image.extents:
        part = repository.get(version.chunks[extent.chunk])[extent.chunk_offset * 4096 :][: extent.units * 4096]
        content[extent.start * 4096 : extent.start * 4096 + len(part)] = part
    return bytes(content)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "repository", DOMAIN)


def test_versions_are_there_whole_for_whoever_opens_the_repository(repository: Repository, tmp_path: Path) -> None:
    names = [back_up(repository, content, tmp_path / "image") for content in (FIRST, SECOND)]
    opened = Repository.open(repository.root, DOMAIN)
    assert opened.parcels() == [PARCEL]
    assert opened.versions(PARCEL) == dict(enumerate(names))
    assert opened.newest(PARCEL) == names[1]
    assert [content_of(opened, name) for name in names] == [FIRST, SECOND]


def test_a_parcel_with_a_single_version_is_listed(repository: Repository, tmp_path: Path) -> None:
    assert repository.parcels() == []
    back_up(repository, FIRST, tmp_path / "image")
    assert repository.parcels() == [PARCEL]


def test_what_is_there_is_not_stored_again(repository: Repository, tmp_path: Path) -> None:
    back_up(repository, FIRST, tmp_path / "image")
    write_sparse(tmp_path / "image", SECOND)
    with uploading(Repository.open(repository.root, DOMAIN)) as upload:
        VersionMaker(DOMAIN, upload).add_image("disk-0.img", tmp_path / "image")
        assert upload.new_chunks == 2


def test_of_two_who_make_the_same_version_one_is_told_and_nothing_is_overwritten(
    repository: Repository, tmp_path: Path
) -> None:
    first = back_up(repository, FIRST, tmp_path / "image")
    with uploading(repository) as upload, pytest.raises(VersionTaken):
        upload.commit(VersionMaker(DOMAIN, upload).manifest(PARCEL, 0, None, None, {}))
    assert repository.newest(PARCEL) == first


def test_cut_off_anywhere_a_backup_leaves_the_old_version_or_the_new_one_and_can_be_repeated(tmp_path: Path) -> None:
    def make(folder: Path) -> Repository:
        folder.mkdir()
        made = Repository.create(folder / "repository", DOMAIN)
        back_up(made, FIRST, folder / "image")
        return made

    rehearsed = make(tmp_path / "rehearsed")
    steps = steps_of(lambda: back_up(rehearsed, SECOND, tmp_path / "rehearsed" / "image"))
    assert steps > 6
    for step in range(steps):
        folder = tmp_path / str(step)
        cut = make(folder)
        with cut_if_it_comes_to(step):
            back_up(cut, SECOND, folder / "image")
        after = Repository.open(cut.root, DOMAIN)
        names = after.versions(PARCEL)
        assert [content_of(after, name) for name in names.values()] in ([FIRST], [FIRST, SECOND])
        again = back_up(after, SECOND, folder / "image")
        assert content_of(Repository.open(cut.root, DOMAIN), again) == SECOND


def test_a_repository_is_made_in_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NoRepository, match="not empty"):
        Repository.create(tmp_path, DOMAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"format": "soulpad-repository/1"}', b"\xff"])
def test_a_folder_that_is_no_repository_is_said_to_be_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / DESCRIPTION).write_bytes(content)
    with pytest.raises(NoRepository):
        Repository.open(tmp_path, DOMAIN)


def test_another_key_or_another_format_is_refused(repository: Repository) -> None:
    with pytest.raises(ForeignDomain):
        Repository.open(repository.root, Domain.new())
    path = repository.root / DESCRIPTION
    path.write_text(json.dumps({"format": "soulpad-repository/9", "domain": "00" * 16}))
    with pytest.raises(UnknownFormat):
        Repository.open(repository.root, DOMAIN)


def test_a_manifest_that_was_altered_or_exchanged_is_noticed(repository: Repository, tmp_path: Path) -> None:
    first, second = (back_up(repository, content, tmp_path / "image") for content in (FIRST, SECOND))
    repository.path("manifests", second).write_bytes(repository.path("manifests", first).read_bytes())
    with pytest.raises(DamagedManifest, match="altered"):
        repository.manifest(second)
    repository.path("manifests", second).unlink()
    with pytest.raises(DamagedManifest, match="not in"):
        repository.manifest(second)


def test_a_version_file_that_names_nothing_is_noticed(repository: Repository, tmp_path: Path) -> None:
    back_up(repository, FIRST, tmp_path / "image")
    (repository.root / "versions" / PARCEL / "0000000000").write_text("../../etc/passwd\n")
    with pytest.raises(DamagedManifest):
        repository.newest(PARCEL)


def test_a_pack_that_is_damaged_or_gone_gives_no_wrong_chunk(repository: Repository, tmp_path: Path) -> None:
    version = resolved(back_up(repository, FIRST, tmp_path / "image"), repository.manifest)
    (path,) = (path for folder in (repository.root / PACKS).iterdir() for path in folder.iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[:180] + bytes([whole[180] ^ 1]) + whole[181:])  # in the first body
    with pytest.raises(CorruptChunk):
        [Repository.open(repository.root, DOMAIN).get(chunk) for chunk in version.chunks]
    opened = Repository.open(repository.root, DOMAIN)
    assert opened.has(version.chunks[0])
    path.unlink()
    with pytest.raises(ChunkMissing):
        opened.get(version.chunks[0])
    path.write_bytes(whole[:-1])
    with pytest.raises(ChunkMissing):
        Repository.open(repository.root, DOMAIN).get(version.chunks[0])
