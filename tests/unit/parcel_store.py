"""A small parcel on a real file system: each of its files repeats one byte, the moment it is from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from soulpad.base.errors import CannotResume
from soulpad.session import live
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, SuspendedState, expected_files, identity_of
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription

UUID = "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90"
DISK_BYTES, RAM_BYTES, STATE_BYTES = 8192, 16384, 100
MACHINE = Machine(memory_mib=512, disks=(Disk("disk-0.img", DISK_BYTES),))
OLD, NEW = 4, 5


def content(moment: int, size_bytes: int) -> bytes:
    return bytes([moment]) * size_bytes


def manifest_of(moment: int) -> CheckpointManifest:
    state = SuspendedState(
        ram_bytes=RAM_BYTES,
        device_state_bytes=STATE_BYTES,
        device_state_sha256=hashlib.sha256(content(moment, STATE_BYTES)).hexdigest(),
        accelerator="kvm",
        vmm="QEMU 10.0.13",
        machine=MACHINE,
    )
    return CheckpointManifest(moment, moment - 1 if moment else None, 1763700000 + moment, (DISK_BYTES,), state)


def write_files(folder: Path, moment: int) -> None:
    folder.mkdir(exist_ok=True)
    for name, size_bytes in expected_files(manifest_of(moment)).items():
        (folder / name).write_bytes(content(moment, size_bytes))


def add_checkpoint(parcel: Parcel, moment: int) -> None:
    write_files(parcel.paths.checkpoint(moment), moment)
    (parcel.paths.checkpoint(moment) / MANIFEST_NAME).write_bytes(manifest_of(moment).encode())


def make_parcel(root: Path, current: int = OLD) -> Parcel:
    parcel = Parcel(ParcelPaths(root, UUID), ParcelDescription("work", MACHINE, UUID))
    parcel.paths.checkpoints.mkdir(parents=True)
    parcel.paths.description.write_bytes(parcel.description.encode())
    add_checkpoint(parcel, current)
    parcel.paths.current.write_text(f"{current}\n")
    return parcel


def run_session(parcel: Parcel) -> None:
    """The VM ran in live/ and was stopped: every live file is of the new moment."""
    live.begin_live(parcel, parcel.current(), with_ram=True)
    live.withdraw_clean(parcel)
    write_files(parcel.paths.live, NEW)


def moments_in(folder: Path) -> set[int]:
    """The moments that a checkpoint's files are from; more than one is a mixture."""
    names = expected_files(manifest_of(NEW))
    return {byte for name in names for byte in (folder / name).read_bytes()}


def require_whole(parcel: Parcel, moment: int) -> None:
    assert parcel.current() == manifest_of(moment)
    assert moments_in(parcel.paths.checkpoint(moment)) == {moment}


def commit_with_identity(parcel: Parcel, moment: int) -> CheckpointManifest:
    """A session of that moment, suspended as on a stick: its manifest knows its files. It is the current one."""
    live.begin_live(parcel, parcel.current(), with_ram=True)
    write_files(parcel.paths.live, moment)
    identity = identity_of(parcel.paths.live, expected_files(manifest_of(moment)))
    manifest = replace(manifest_of(moment), identity=identity)
    live.flush(parcel.paths.live, manifest)
    live.commit(parcel, manifest)
    return manifest


def state_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything in a folder and below: bytes, inode, time of modification. Equal: nothing was changed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    stats = {path: path.stat() for path in files}
    return {
        str(path.relative_to(folder)): (path.read_bytes(), stats[path].st_ino, stats[path].st_mtime_ns)
        for path in files
    }


def require_refused(parcel: Parcel, moment: int, name: str) -> None:
    """The checkpoint is refused with a reason that names the file, and nothing is changed."""
    before = state_of(parcel.paths.folder)
    with pytest.raises(CannotResume, match=name):
        parcel.verified(moment)
    assert state_of(parcel.paths.folder) == before
