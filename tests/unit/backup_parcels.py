"""Parcels in folders that are backed up: each checkpoint with disks and memory of some size, and its history."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookaside.keyring import Key, found_repository
from lookaside.keyslots import Stretching
from lookaside.publicbase import PublicBase
from lookaside.repository import Repository
from lookaside.source import ChunkSource
from soulpad.backup.mounted import subjects_in
from soulpad.backup.restoring import Traffic, choose, restore
from soulpad.backup.saving import Saved, back_up
from soulpad.backup.seen import Seen
from soulpad.base.progress import Silent
from soulpad.base.secrets import Secret
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, SuspendedState, disk_name
from soulpad.store.layout import ParcelPaths
from soulpad.store.lineage import history_after
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from soulpad.store.workingset import WORKING_SET_NAME

UUID = "0a9d5c4e-7a51-4f0e-9a5e-6b1d3f2c8e77"
KEY = Key(Secret(b"a passphrase of many words"))
CHEAP = Stretching(memory_kib=64, passes=1, lanes=1)
DISK_BYTES, RAM_BYTES = 4 << 20, 512 << 10  # several chunks, and less than one
MACHINE = Machine(memory_mib=1, disks=(Disk(disk_name(0), DISK_BYTES),))
FILES = (disk_name(0), "ram.img", "device-state", WORKING_SET_NAME)


def make_parcel(root: Path, uuid: str = UUID, name: str = "work") -> ParcelPaths:
    """A parcel with checkpoint 0."""
    paths = ParcelPaths(root, uuid)
    paths.checkpoints.mkdir(parents=True)
    paths.description.write_bytes(ParcelDescription(name, MACHINE, uuid).encode())
    add_checkpoint(paths, 0, None)
    return paths


def add_checkpoint(paths: ParcelPaths, generation: int, parent: int | None, seed: str = "") -> None:
    """The next checkpoint, which is current: its parent's files with a few blocks of others. ``seed``: tells apart what
    two sticks do with one parcel."""
    folder = paths.checkpoint(generation)
    folder.mkdir()
    chance = random.Random(f"{seed}{generation}")
    before = paths.checkpoint(parent) if parent is not None else None
    for name, size_bytes in ((disk_name(0), DISK_BYTES), ("ram.img", RAM_BYTES)):
        content = bytearray((before / name).read_bytes() if before else bytes(size_bytes))
        for _ in range(3):
            at = chance.randrange(size_bytes // 4096) * 4096
            content[at : at + 4096] = chance.randbytes(4096)
        (folder / name).write_bytes(content)
    state = chance.randbytes(20_000)
    (folder / "device-state").write_bytes(state)
    (folder / WORKING_SET_NAME).write_bytes(chance.randbytes(100))
    (folder / MANIFEST_NAME).write_bytes(manifest_of(paths, generation, parent, state).encode())
    paths.current.write_text(f"{generation}\n")


def manifest_of(paths: ParcelPaths, generation: int, parent: int | None, state: bytes) -> CheckpointManifest:
    digest = hashlib.sha256(state).hexdigest()
    suspended = SuspendedState(RAM_BYTES, len(state), digest, "kvm", "QEMU 10.0.13", MACHINE)
    manifest = CheckpointManifest(generation, parent, 1763700000 + generation, (DISK_BYTES,), suspended)
    return replace(manifest, history=history_after(paths.checkpoint(parent)) if parent is not None else ())


def make_repository(root: Path) -> Repository:
    return found_repository(root, KEY, CHEAP)


def save(
    root: Path, repository: Repository, seen: Path, *, branch: bool = False, public: PublicBase | None = None
) -> Saved:
    """Backs up the only parcel of a store."""
    with subjects_in(root) as subjects:
        for _, error in subjects.failed:
            raise error
        (subject,) = subjects.whole
        again = Repository.open(repository.root, repository.domain)
        return back_up(subject, again, Seen(seen), Silent(), branch=branch, public=public)


def content_of(folder: Path) -> dict[str, bytes]:
    """The large files of a checkpoint or a restored parcel."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def restored(
    repository: Repository, folder: Path, number: int | None = None, sources: Sequence[ChunkSource] = ()
) -> Path:
    """Restores a version of the only parcel."""
    opened = Repository.open(repository.root, repository.domain)
    restore(opened, choose(opened, UUID, number), folder, sources, Traffic(), Silent())
    return folder


@dataclass(frozen=True)
class ReadBytes:
    """An image in memory."""

    content: bytes
    volume: object = None

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def data_from(self, position: int) -> int:
        return position

    def read_at(self, position: int, count: int) -> bytes:
        return self.content[position : position + count]

    def extents(self) -> None:
        return None
