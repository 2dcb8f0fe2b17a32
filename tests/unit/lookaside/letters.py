"""Tiny versions: an image is a word, a letter of it is a chunk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lookaside.domain import ChunkId
from lookaside.errors import VersionTaken
from lookaside.extentmap import UNIT_BYTES, Extent
from lookaside.manifest import ImageMap, Manifest, VersionName
from lookaside.marks import pinned
from lookaside.repository import PACKS, Repository
from lookaside.upload import uploading
from lookaside.versions import resolved

from .shelves import DOMAIN

PARCEL = "6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b"
IMAGE = "disk-0.img"


def write(root: Path, word: str, *, keyframe: bool = False, parcel: str = PARCEL) -> VersionName:
    """Makes ``word`` the parcel's newest version: a difference against the one before, in letters that changed."""
    repository = Repository.open(root, DOMAIN)
    with uploading(repository) as upload:
        known = repository.versions(parcel)
        number = max(known, default=-1) + 1
        base = known.get(number - 1)
        old = "" if keyframe or base is None else read(repository, base)
        changed = [(at, letter) for at, letter in enumerate(word) if old[at : at + 1] != letter]
        ids = [put(upload, letter) for _, letter in changed]
        extents = tuple(Extent(at, 1, index) for index, (at, _) in enumerate(changed))
        image = ImageMap(IMAGE, len(word) * UNIT_BYTES, not old, extents)
        previous = base if old else None
        return upload.commit(Manifest(parcel, number, base, previous, (image,), tuple(ids), (1,) * len(ids)))


def write_if_free(root: Path, word: str, *, keyframe: bool = False) -> None:
    """The same, where nobody makes that version first."""
    with suppress(VersionTaken):
        write(root, word, keyframe=keyframe)


def put(upload, letter: str) -> ChunkId:  # type: ignore[no-untyped-def]
    content = letter.encode() * UNIT_BYTES
    chunk_id = DOMAIN.chunk_id(content)
    if not upload.has(chunk_id):
        upload.put(chunk_id, content)
    return chunk_id


def read(repository: Repository, name: VersionName) -> str:
    """The word of a version, each letter from its chunk."""
    version = resolved(name, repository.manifest)
    word = {}
    for extent in version.images[IMAGE].extents:
        for unit in range(extent.units):
            content = repository.get(version.chunks[extent.chunk])
            word[extent.start + unit] = content[(extent.chunk_offset + unit) * UNIT_BYTES :][:1].decode()
    return "".join(letter for _, letter in sorted(word.items()))


def words(root: Path, parcel: str = PARCEL) -> dict[int, str]:
    """All versions by their numbers, as somebody reads them who comes now."""
    repository = Repository.open(root, DOMAIN)
    return {number: read(repository, name) for number, name in repository.versions(parcel).items()}


def forget(root: Path, numbers: Iterable[int], parcel: str = PARCEL) -> None:
    repository = Repository.open(root, DOMAIN)
    with pinned(root) as pin:
        for number in numbers:
            repository.forget(parcel, number, pin)


def forget_all_but_newest(root: Path) -> None:
    numbers = sorted(Repository.open(root, DOMAIN).versions(PARCEL))
    forget(root, numbers[:-1])


def packs_in(root: Path) -> list[Path]:
    return sorted(path for folder in (root / PACKS).iterdir() for path in folder.iterdir())


def letters_in(root: Path) -> str:
    """The letters that are stored, each as often as it is."""
    repository = Repository.open(root, DOMAIN)
    by_id = {DOMAIN.chunk_id(chr(code).encode() * UNIT_BYTES): chr(code) for code in range(97, 123)}
    return "".join(sorted(by_id[entry.chunk_id] for name in repository.packs() for entry in repository.entries(name)))
