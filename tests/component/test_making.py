"""Versions of a session whose files lie on a real XFS: what its maps tell of changes is enough to make each of them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lookaside.assembling import assemble
from lookaside.athand import AtHand
from lookaside.changed import changed_spans
from lookaside.domain import Domain
from lookaside.making import VersionMaker
from lookaside.repository import Repository
from lookaside.upload import uploading
from lookaside.versions import resolved
from soulpad.base.reflink import clone
from tests.component.test_changed import BLOCK_BYTES, CHANGES, FILE_BYTES

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

PARCEL = "6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b"
DISK, RAM = "disk-0.img", "ram.img"


def work(folder: Path, chance: random.Random) -> None:
    """Changes both files; afterwards the memory has a page of the disk, as a page cache has."""
    for name in (DISK, RAM):
        descriptor = os.open(folder / name, os.O_RDWR)
        for _ in range(chance.randrange(4)):
            chance.choice(CHANGES)(descriptor, chance)
        os.close(descriptor)
    with (folder / DISK).open("rb") as disk, (folder / RAM).open("r+b") as memory:
        disk.seek(chance.randrange(50) * BLOCK_BYTES)
        memory.seek(chance.randrange(50) * BLOCK_BYTES)
        memory.write(disk.read(BLOCK_BYTES))


def save(repository: Repository, checkpoint: Path, before: Path | None, pages: Path) -> None:
    newest = repository.newest(PARCEL)
    base = resolved(newest, repository.manifest) if newest else None
    files = {name: before / name for name in (DISK, RAM)} if before else {}
    with uploading(repository) as upload:
        maker = VersionMaker(repository.domain, upload, AtHand(pages, base, files))
        for name, add in ((DISK, maker.add_image), (RAM, maker.add_memory)):
            add(name, checkpoint / name, changed_spans(files[name], checkpoint / name) if base else None)
        number = base.manifest.sequence + 1 if base else 0
        upload.commit(maker.manifest(PARCEL, number, newest, base.name if base else None, {}))


@pytest.mark.parametrize("seed", range(4))
def test_every_version_of_a_history_comes_back_byte_by_byte(store: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    live, pages = store / f"live-{seed}", tmp_path / "pages"
    live.mkdir()
    pages.mkdir()
    for name in (DISK, RAM):
        (live / name).write_bytes(chance.randbytes(FILE_BYTES))
    repository = Repository.create(tmp_path / "repository", Domain.new())
    checkpoints: list[Path] = []
    for number in range(8):
        work(live, chance)
        checkpoint = store / f"checkpoint-{seed}-{number}"
        checkpoint.mkdir()
        for name in (DISK, RAM):
            clone(live / name, checkpoint / name)
        save(repository, checkpoint, checkpoints[-1] if checkpoints else None, pages)
        checkpoints.append(checkpoint)
    for name, checkpoint in zip(repository.versions(PARCEL).values(), checkpoints, strict=True):
        version = resolved(name, repository.manifest)
        for file, image in version.images.items():
            (tmp_path / "assembled").unlink(missing_ok=True)
            assemble(tmp_path / "assembled", image.image_bytes, image.extents, version.chunks, repository)
            assert (tmp_path / "assembled").read_bytes() == (checkpoint / file).read_bytes()
