"""A version in a repository, and what its sources make of it: right or absent, never wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookaside.assembling import assemble
from lookaside.cutting import CHUNK_BYTES
from lookaside.domain import ChunkId, Domain
from lookaside.errors import ChunkMissing
from lookaside.making import VersionMaker
from lookaside.manifest import VersionName
from lookaside.pack import PackName
from lookaside.repository import PACKS, Repository
from lookaside.source import ChunkSource, FirstOf
from lookaside.upload import Upload, uploading
from lookaside.versions import Version, resolved
from soulpad.base.secrets import Secret

from .shelves import DOMAIN, write_sparse

PARCEL = "6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b"
OTHER_DOMAIN = Domain(Secret(bytes(range(32, 64))))
IMAGE = "disk-0.img"


def noise(seed: int, count: int) -> bytes:
    """Bytes that cannot be compressed, the same each time."""
    return random.Random(seed).randbytes(count)


NOISE = [noise(seed, CHUNK_BYTES) for seed in range(6)]
CONTENT = b"".join([NOISE[0], bytes(CHUNK_BYTES), *NOISE[1:4], NOISE[0], NOISE[4], noise(9, 5000)])
CHUNKS = 6  # that CONTENT has, each counted once


@dataclass
class Scene:
    """A repository with one version of CONTENT, whose packs have two chunks each."""

    repository: Repository
    version: Version
    folder: Path

    @property
    def root(self) -> Path:
        return self.repository.root

    def assembled(self, sources: Sequence[ChunkSource]) -> bytes | None:
        """What sources make of the version: CONTENT, or None where a chunk is missing."""
        return assembled(self.version, FirstOf(list(sources)), self.folder / "assembled")

    def packs(self) -> list[Path]:
        return sorted(path for path in (self.root / PACKS).glob("*/*"))

    def pack_names(self) -> set[PackName]:
        return set(self.repository.packs())


def scene(folder: Path, domain: Domain = DOMAIN, content: bytes = CONTENT) -> Scene:
    """A new one in ``folder``."""
    folder.mkdir(exist_ok=True)
    repository = Repository.create(folder / "repository", domain)
    name = stored(repository, content, folder / "image")
    return Scene(repository, resolved(name, repository.manifest), folder)


@dataclass
class SmallPacks:
    """An upload that makes a pack of every two chunks."""

    upload: Upload

    def has(self, chunk_id: ChunkId) -> bool:
        return self.upload.has(chunk_id)

    def keep(self, chunk_id: ChunkId, content: bytes) -> None:
        before = self.upload.new_chunks
        self.upload.keep(chunk_id, content)
        if before < self.upload.new_chunks and self.upload.new_chunks % 2 == 0:
            self.upload.finish_pack()


def stored(repository: Repository, content: bytes, image: Path, domain: Domain | None = None) -> VersionName:
    """The content as the parcel's next version. ``domain``: of the repository's key, if it is to be asked for ids."""
    write_sparse(image, content)
    known = repository.versions(PARCEL)
    with uploading(repository) as upload:
        maker = VersionMaker(domain or repository.domain, SmallPacks(upload))
        maker.add_image(IMAGE, image)
        number = max(known, default=-1) + 1
        return upload.commit(maker.manifest(PARCEL, number, known.get(number - 1), None, {}))


def assembled(version: Version, source: FirstOf, target: Path) -> bytes | None:
    """The version's image; None where a chunk is missing."""
    target.unlink(missing_ok=True)
    image = version.images[IMAGE]
    try:
        assemble(target, image.image_bytes, image.extents, version.chunks, source)
    except ChunkMissing:
        return None
    return target.read_bytes()
