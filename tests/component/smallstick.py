"""A small stick, made by the builder's own parts: two parcels, one of them damaged, and a host that does not boot."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from builder.debian.toolbox import toolbox
from builder.disk import partitions
from builder.disk.esp import write_esp
from builder.disk.partitions import Layout
from builder.store import xfs
from builder.store.luks import LuksSpec
from builder.store.storeimage import write_store
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.base.secrets import generate_key, generate_passphrase
from soulpad.base.units import MIB
from soulpad.store.checkpoint import CheckpointManifest, SuspendedState
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from soulpad.store.stick import ESP_LABEL, ParcelRequirement, StickDescription

STICK_ID = "0badcafe"
PASSPHRASE = generate_passphrase()
KEY = generate_key()
CHEAP = LuksSpec(argon2_memory_kib=1024, argon2_iterations=4, argon2_parallel=1)
DISK_BYTES, RAM_BYTES, STATE = 24 * MIB, 8 * MIB, b"device state " * 1000
MACHINE = Machine(memory_mib=8, disks=(Disk("disk-0.img", DISK_BYTES),))
WORK = ParcelDescription("work [at home]", MACHINE)
PLAY = ParcelDescription("play", MACHINE)
DESCRIPTION = StickDescription(
    STICK_ID, "13.2-test", "de", (ParcelRequirement(WORK.uuid, MACHINE.cpu_model, 8, "kvm"),)
)


def suspended(generation: int, parent: int | None) -> CheckpointManifest:
    digest = hashlib.sha256(STATE).hexdigest()
    state = SuspendedState(RAM_BYTES, len(STATE), digest, "kvm", "10.0.2", MACHINE)
    return CheckpointManifest(generation, parent, 1_700_000_000 + generation, (DISK_BYTES,), state)


def parcel_tree(folder: Path) -> dict[PurePosixPath, xfs.Content]:
    """Two parcels: one with a cold and a suspended checkpoint and what a crash left, one that is damaged."""
    disk, ram = folder / "disk.img", folder / "ram.img"
    for path, size_bytes in ((disk, DISK_BYTES), (ram, RAM_BYTES)):
        path.write_bytes(os.urandom(MIB))
        os.truncate(path, size_bytes)
    work, play = PurePosixPath("parcels", WORK.uuid), PurePosixPath("parcels", PLAY.uuid)
    cold = CheckpointManifest(1, None, 1_700_000_001, (DISK_BYTES,))
    return {
        work / "parcel.json": WORK.encode(),
        work / "current": b"2\n",
        work / "checkpoints/1/checkpoint.json": cold.encode(),
        work / "checkpoints/1/disk-0.img": disk,
        work / "checkpoints/2/checkpoint.json": suspended(2, 1).encode(),
        work / "checkpoints/2/disk-0.img": disk,
        work / "checkpoints/2/ram.img": ram,
        work / "checkpoints/2/device-state": STATE,
        work / "live/session.json": b"{}",
        play / "parcel.json": PLAY.encode(),
        play / "current": b"7\n",
        play / "checkpoints/3/checkpoint.json": suspended(3, None).encode(),
        play / "checkpoints/3/disk-0.img": disk,
    }


def small_stick(folder: Path, tree: Mapping[PurePosixPath, xfs.Content]) -> Path:
    """The image, with those files in its store."""
    image = folder / "stick.img"
    layout = partitions.plan(720 * MIB, 4 * MIB, STICK_ID, esp_bytes=272 * MIB, host_slot_bytes=8 * MIB)
    partitions.write_table(image, layout)
    write_esp(image, layout.of("esp"), ESP_LABEL, {"soulpad.json": DESCRIPTION.encode()})
    put_host(image, layout, folder)
    store = layout.of("parcels")
    write_store(
        image, store.offset_bytes, store.size_bytes, tree, PASSPHRASE, KEY, CHEAP, toolbox().argv, Silent(), folder
    )
    return image


def put_host(image: Path, layout: Layout, folder: Path) -> None:
    (folder / "root").mkdir()
    (folder / "root" / "file").write_bytes(os.urandom(100_000))
    run(["mksquashfs", folder / "root", folder / "host.squashfs", "-quiet", "-no-progress"])
    with image.open("r+b") as file:
        file.seek(layout.of("host-a").offset_bytes)
        file.write((folder / "host.squashfs").read_bytes())
