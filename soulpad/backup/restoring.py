"""The flow: a version becomes the folder of a parcel again, from whatever has its chunks.

The folder holds ``parcel.json`` and one checkpoint's files: what ``soulpad create`` takes as a suspended parcel. It is
made beside its name and renamed when it is whole and durable, every chunk having been proved by its id.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lookaside.assembling import Target, assemble_together
from lookaside.came import Came
from lookaside.domain import ChunkId
from lookaside.errors import DamagedManifest
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.images import ImagesSource
from lookaside.repository import Repository
from lookaside.source import ChunkSource, FirstOf, Given, Tally
from lookaside.standing import Standing
from lookaside.versions import Version, WholeImage, resolved
from soulpad.backup.line import PARCEL, StoredVersion, newest_first, stored_version
from soulpad.backup.trouble import target_trouble
from soulpad.base.durable import fsync_path, replace_durably
from soulpad.base.errors import BadInput
from soulpad.base.progress import Progress
from soulpad.store.checkpoint import MANIFEST_NAME, expected_files, verified
from soulpad.store.workingset import WORKING_SET_NAME


@dataclass
class Traffic:
    """Where the bytes of what was restored came from. ``content_bytes``: of all files; ``zero_bytes``: of them zeros,
    which come from nowhere; ``sources``: what each gave."""

    content_bytes: int = 0
    zero_bytes: int = 0
    sources: dict[str, Tally] = field(default_factory=dict)

    @property
    def came(self) -> Came:
        """What is said of it in the end."""
        return Came(self.sources, self.content_bytes)


def choose(repository: Repository, parcel: str, number: int | None) -> StoredVersion:
    """The version of that number, or the newest. Raises BadInput when there is none."""
    if number is None:
        newest = next(newest_first(repository, parcel), None)
        if newest is None:
            raise BadInput(
                f"{repository.root} has no version of {parcel}", f"list what it has: soulpad versions {repository.root}"
            )
        return newest
    versions = repository.versions(parcel)
    if number not in versions:
        known = ", ".join(map(str, versions)) or "none"
        raise BadInput(f"{repository.root} has no version {number} of {parcel}", f"it has: {known}")
    return stored_version(repository, parcel, number, versions[number])


def restore(
    repository: Repository,
    stored: StoredVersion,
    folder: Path,
    sources: Sequence[ChunkSource],
    traffic: Traffic,
    progress: Progress,
) -> None:
    """Makes ``folder``, which must not be there. Commit point: its rename. What a cut leaves is ``.NAME.partial``
    beside it, which the next run removes. Raises ChunkMissing, DamagedManifest, NoSpace, BadInput."""
    if folder.exists():
        raise BadInput(f"{folder} is there already", "name a folder that is not there")
    staged = folder.with_name(f".{folder.name}.partial")
    with target_trouble(folder.parent):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            fill(repository, stored, staged, sources, traffic, progress)
            replace_durably(staged, folder)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise


def fill(
    repository: Repository,
    stored: StoredVersion,
    folder: Path,
    sources: Sequence[ChunkSource],
    traffic: Traffic,
    progress: Progress,
) -> None:
    """Puts all files of the version into an empty folder, durably, and looks whether they are a checkpoint."""
    version = resolved(stored.name, repository.manifest)
    first = FirstOf([*sources, repository], tallies=traffic.sources)
    images = {name: version.images[name] for name in wanted(stored, version)}
    told = Told(first, progress, sum(map(filled_bytes, images.values())))
    progress.step(f"Restoring {stored.description.name}, version {stored.number}")
    targets = [Target(folder / name, image.image_bytes, image.extents) for name, image in images.items()]
    moments = [source for source in sources if isinstance(source, ImagesSource)]
    standing = Standing(repository.domain, version, images, moments, first, told.tell)
    assemble_together(targets, version.chunks, told, standing.put)
    for name, image in images.items():
        fsync_path(folder / name)
        traffic.content_bytes += image.image_bytes
        traffic.zero_bytes += image.image_bytes - filled_bytes(image)
    checkpoint = replace(stored.checkpoint, identity=())  # they are other files now
    for name, content in ((PARCEL, stored.document(PARCEL)), (MANIFEST_NAME, checkpoint.encode())):
        (folder / name).write_bytes(content)
        fsync_path(folder / name)
    fsync_path(folder)
    verified(folder, checkpoint.generation)


def wanted(stored: StoredVersion, version: Version) -> list[str]:
    """The files that the version must have, and the hint if it has one. Raises DamagedManifest where one is missing:
    names are ours, never a manifest's."""
    names = list(expected_files(stored.checkpoint))
    if missing := [name for name in names if name not in version.images]:
        raise DamagedManifest(f"Version {stored.number} has no {', '.join(missing)}.", "use another version")
    return [*names, *([WORKING_SET_NAME] if WORKING_SET_NAME in version.images else [])]


def filled_bytes(image: WholeImage) -> int:
    """How many bytes of the image come from chunks."""
    return sum(
        min(extent.end * UNIT_BYTES, image.image_bytes) - extent.start * UNIT_BYTES
        for extent in image.extents
        if extent.chunk != ZEROS
    )


@dataclass
class Told:
    """A source that tells how far it is."""

    source: FirstOf
    progress: Progress
    total_bytes: int
    done_bytes: int = 0
    name: str = "all sources"

    def get(self, chunk_id: ChunkId) -> bytes:
        content = self.source.get(chunk_id)
        self.tell(len(content))
        return content

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        for chunk_id, content in self.source.get_many(ids):
            if isinstance(content, bytes):
                self.tell(len(content))
            yield chunk_id, content

    def tell(self, count: int) -> None:
        """So many bytes more are there."""
        self.done_bytes += count
        self.progress.advance(min(self.done_bytes, self.total_bytes), self.total_bytes)
