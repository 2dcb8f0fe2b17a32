"""The store as it is made: one suspended parcel, with a guest of the first moment."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from builder.guest.parcels import parcel_files
from builder.store.xfs import Content, ToolArgv, make_xfs
from soulpad.base.units import MIB
from soulpad.store.checkpoint import DEVICE_STATE_NAME, RAM_NAME, CheckpointManifest, SuspendedState, disk_name
from soulpad.store.layout import PARCELS
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from tests.powercut.diary import FIRST_MOMENT, Snapshot
from tests.powercut.guest import BLOCKS, DISK, RAM, STATE, STATE_BLOCKS, VMM
from tests.powercut.moments import BLOCK_BYTES, content_of
from tests.powercut.replay import copy_sparsely

STORE_BYTES = 640 * MIB  # with less the product sees a full stick
GENERATION = 1
SNAPSHOT = Snapshot((FIRST_MOMENT,) * BLOCKS, (FIRST_MOMENT,) * BLOCKS, FIRST_MOMENT)
MACHINE = Machine(memory_mib=BLOCKS * BLOCK_BYTES // MIB, disks=(Disk(disk_name(0), BLOCKS * BLOCK_BYTES),))
DESCRIPTION = ParcelDescription("work", MACHINE, "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90")


def make_store(image: Path, tool: ToolArgv) -> Path:
    """The image of a store's file system, made as ``soulpad create`` makes it; sparse."""
    sources, full = image.with_suffix(".sources"), image.with_suffix(".full")
    sources.mkdir()
    make_xfs(full, STORE_BYTES, first_tree(sources), "parcels", tool)
    copy_sparsely(full, image)
    full.unlink()
    return image


def first_tree(folder: Path) -> dict[PurePosixPath, Content]:
    """Path in the store -> content; the large files are made in ``folder``."""
    state = content_of(STATE, (FIRST_MOMENT,) * STATE_BLOCKS)
    files = {
        disk_name(0): content_of(DISK, SNAPSHOT.disk),
        RAM_NAME: content_of(RAM, (FIRST_MOMENT,) * BLOCKS),
        DEVICE_STATE_NAME: state,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    suspended = SuspendedState(
        ram_bytes=len(files[RAM_NAME]),
        device_state_bytes=len(state),
        device_state_sha256=hashlib.sha256(state).hexdigest(),
        accelerator="kvm",
        vmm=VMM,
        machine=MACHINE,
    )
    manifest = CheckpointManifest(GENERATION, None, 1763700000, (len(files[disk_name(0)]),), suspended)
    tree = parcel_files(DESCRIPTION, manifest, {name: folder / name for name in files})
    return {PARCELS / DESCRIPTION.uuid / path: content for path, content in tree.items()}
