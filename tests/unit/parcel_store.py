"""A small parcel on a real file system: each of its files repeats one byte, the moment it is from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from soulpad.session import live
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, SuspendedState, expected_files
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
