"""Two versions of a suspended session's memory, made up: the newer differs from the older in a share of its chunks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from lookaside.cutting import CHUNK_BYTES
from lookaside.domain import Domain
from lookaside.making import VersionMaker
from lookaside.manifest import VersionName
from lookaside.repository import MANIFESTS, Repository
from lookaside.upload import uploading

PARCEL = "00000000-0000-4000-8000-000000000000"
IMAGE = "ram.img"
CHANGED_SHARE = 0.25
NOISE_SHARE = 0.5  # of each chunk: what does not compress


@dataclass(frozen=True)
class State:
    """``older``, ``newer``: folders with the images and the manifests of the versions ``names``, in this order."""

    repository: Repository
    older: Path
    newer: Path
    names: tuple[VersionName, VersionName]


def make_state(folder: Path, domain: Domain, compressed_bytes: int) -> State:
    """The versions, about ``compressed_bytes`` each in the repository."""
    chunks = max(4, round(compressed_bytes / (CHUNK_BYTES * NOISE_SHARE)))
    repository = Repository.create(folder / "repository", domain)
    chosen = random.Random(1)
    seeds = list(range(chunks))
    names: list[VersionName] = []
    for number, name in enumerate(("older", "newer")):
        (folder / name).mkdir()
        image = folder / name / IMAGE
        with image.open("wb") as file:
            for seed in seeds:
                file.write(content_of(seed))
        names.append(stored(repository, image, number, names[-1] if names else None))
        encoded = repository.path(MANIFESTS, names[-1]).read_bytes()
        (folder / name / names[-1]).write_bytes(encoded)
        for place in chosen.sample(range(chunks), round(chunks * CHANGED_SHARE)):
            seeds[place] += chunks
    return State(repository, folder / "older", folder / "newer", (names[0], names[1]))


def content_of(seed: int) -> bytes:
    """A chunk that compresses to about NOISE_SHARE of itself."""
    noise = random.Random(seed).randbytes(round(CHUNK_BYTES * NOISE_SHARE))
    return noise.ljust(CHUNK_BYTES, b"\x5a")


def stored(repository: Repository, image: Path, number: int, previous: VersionName | None) -> VersionName:
    """The image as version ``number``, a keyframe."""
    with uploading(repository) as upload:
        maker = VersionMaker(repository.domain, upload)
        maker.add_image(IMAGE, image)
        return upload.commit(maker.manifest(PARCEL, number, previous, None, {}))
