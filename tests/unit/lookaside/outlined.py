"""A machine whose versions have outlines, and what a restore makes of one with some moment's images at hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lookaside.assembling import Target, assemble_together
from lookaside.athand import AtHand
from lookaside.domain import ChunkId
from lookaside.extentmap import ZEROS
from lookaside.images import ImagesSource, places_of
from lookaside.making import VersionMaker
from lookaside.manifest import Manifest, VersionName, decode_manifest, encode_manifest, version_name
from lookaside.outlines import is_outlines
from lookaside.outlining import Outlining
from lookaside.source import ChunkSource, FirstOf, Tally
from lookaside.standing import Standing
from lookaside.versions import Version, resolved

from .shelves import DOMAIN, MemoryStore, write_sparse

DISK, RAM = "disk-0.img", "ram.img"
NAMES = (DISK, RAM)
PAGE = 4096
CHUNK_PAGES = 256
Contents = Mapping[str, bytes]


@cache
def page(number: int) -> bytes:
    """A page of its own for each number; 0 is zeros."""
    return random.Random(number).randbytes(PAGE) if number else bytes(PAGE)


def image(numbers: list[int]) -> bytes:
    return b"".join(map(page, numbers))


@dataclass
class Repository(MemoryStore):
    """A store that remembers what it was asked for."""

    asked: list[ChunkId] = field(default_factory=list)

    def get(self, chunk_id: ChunkId) -> bytes:
        self.asked.append(chunk_id)
        return super().get(chunk_id)


class Machine:
    """A disk and a memory; each version is a difference against the one before, whose files are at hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Repository("repository")
        self.manifests: dict[VersionName, bytes] = {}
        self.names: list[VersionName] = []
        self.contents: list[Contents] = []
        (folder / "pages").mkdir()

    def save(self, contents: Contents, *, outlined: bool = True) -> Version:
        """Makes the next version."""
        base = self.version(-1) if self.names else None
        old = {name: self.path(len(self.names) - 1, name) for name in NAMES} if base else {}
        store = Outlining(DOMAIN, self.store, base, is_base=base is not None)
        maker = VersionMaker(DOMAIN, store, AtHand(self.folder / "pages", base, old))
        for name, add in ((DISK, maker.add_image), (RAM, maker.add_memory)):
            path = self.path(len(self.names), name)
            write_sparse(path, contents[name])
            add(name, path, [(0, len(contents[name]))] if base else None)
        if outlined:
            store.add_to(maker, len(self.names))
        previous = self.names[-1] if self.names else None
        self.keep(maker.manifest("a parcel", len(self.names), previous, previous, {}))
        self.contents.append(contents)
        return self.version(-1)

    def path(self, number: int, name: str) -> Path:
        return self.folder / f"{number}-{name}"

    def keep(self, manifest: Manifest) -> None:
        encoded = encode_manifest(DOMAIN, manifest)
        self.names.append(version_name(encoded))
        self.manifests[self.names[-1]] = encoded

    def version(self, number: int) -> Version:
        return resolved(self.names[number], lambda name: decode_manifest(DOMAIN, self.manifests[name]))


@dataclass
class Restored:
    """``asked``: the chunks of the parcel's own images that the repository was asked for."""

    contents: Contents
    asked: set[ChunkId]
    tallies: dict[str, Tally]
    told_bytes: int


def restore(machine: Machine, version: Version, stick: list[ImagesSource]) -> Restored:
    """Restores a version as soulpad.backup.restoring does."""
    sources: list[ChunkSource] = [*stick, machine.store]
    machine.store.asked.clear()
    first, told = FirstOf(sources), list[int]()
    standing = Standing(DOMAIN, version, NAMES, stick, first, told.append)
    targets = []
    for name in NAMES:
        path = machine.folder / f"restored-{name}"
        path.unlink(missing_ok=True)
        targets.append(Target(path, version.images[name].image_bytes, version.images[name].extents))
    assemble_together(targets, version.chunks, first, standing.put)
    own = {chunk_id for name in NAMES for chunk_id in chunks_of(version, name)}
    contents = {target.path.name.removeprefix("restored-"): target.path.read_bytes() for target in targets}
    return Restored(contents, own.intersection(machine.store.asked), first.tallies, sum(told))


def chunks_of(version: Version, name: str) -> set[ChunkId]:
    return {version.chunks[extent.chunk] for extent in version.images[name].extents if extent.chunk != ZEROS}


def outlines_of(version: Version) -> list[str]:
    return [name for name in version.images if is_outlines(name)]


def stick_of(version: Version, images: Mapping[str, Path], name: str = "stick") -> ImagesSource:
    return ImagesSource(name, DOMAIN, images, places_of(version))
