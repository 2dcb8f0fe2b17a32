"""One session of the cycles benchmark: from a cold store to a committed suspend, by the product's own functions.

There is no virtual machine: this program writes the memory's file through a shared mapping and the disk past the page
cache, as QEMU does.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.lab.cycles_load import PAGE_BYTES, Load, Span, bytes_in_pages
from benchmarks.lab.store import Store
from soulpad.base.durable import fsync_path
from soulpad.base.extents import extent_count
from soulpad.base.units import MIB
from soulpad.session import live, retention, smoothing
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    RAM_NAME,
    CheckpointManifest,
    Occasion,
    SuspendedState,
    disk_name,
    expected_files,
    identity_of,
)

STATE_BYTES = 640 * 1024

Figures = dict[str, float | int]


@dataclass(frozen=True)
class Guest:
    """A parcel whose guest this program plays."""

    store: Store
    parcel: Parcel
    load: Load

    @property
    def ram(self) -> Path:
        return self.parcel.paths.live / RAM_NAME

    @property
    def disk(self) -> Path:
        return self.parcel.paths.live / disk_name(0)


def fill(guest: Guest) -> None:
    """The first session: memory and disk are filled in order, and it is suspended."""
    live.begin_live(guest.parcel, guest.parcel.current(), with_ram=False)
    with guest.ram.open("wb") as file:
        file.truncate(guest.load.memory_mib * MIB)
        _fill_file(file.fileno(), guest.load.filled_mib)
    with guest.disk.open("r+b") as file:
        _fill_file(file.fileno(), guest.load.disk_mib)
    live.withdraw_clean(guest.parcel)
    suspend(guest)


def session(guest: Guest, cycle: int, *, checkpoint: bool, smooth_extents: int) -> Figures:
    """One cycle's figures. ``checkpoint``: one is made beside the session, half-way."""
    guest.store.make_cold()
    before = guest.store.traffic()
    figures = begin(guest, cycle)
    if checkpoint:
        changed_bytes = work(guest, cycle, 0, 2)
        figures |= checkpoint_beside(guest, smooth_extents)
        changed_bytes += work(guest, cycle, 1, 2)
    else:
        changed_bytes = work(guest, cycle)
    figures |= end(guest)
    written_bytes = (guest.store.traffic() - before).written_bytes
    return figures | {"changed_bytes": changed_bytes, "written_bytes": written_bytes}


def begin(guest: Guest, cycle: int) -> Figures:
    """A resume, and the guest's first touches."""
    with guest.store.measured() as begun:
        live.begin_live(guest.parcel, guest.parcel.current(), with_ram=True)
    with guest.store.measured() as touched:
        touch(guest.ram, guest.load.touched_pages(cycle))
    live.withdraw_clean(guest.parcel)
    return {
        "begin_seconds": round(begun.seconds, 4),
        "touch_seconds": round(touched.seconds, 4),
        "touch_read_bytes": touched.traffic.read_bytes,
    }


def work(guest: Guest, cycle: int, part: int = 0, parts: int = 1) -> int:
    """What the guest writes in a cycle, or every so many-th span of it; returns the bytes that it changed, those of
    the device state with them."""
    memory, disk = guest.load.memory_spans(cycle)[part::parts], guest.load.disk_spans(cycle)[part::parts]
    write_memory(guest.ram, memory, cycle)
    write_disk(guest.disk, disk, cycle)
    return bytes_in_pages(memory) + sum(span.length_bytes for span in disk) + STATE_BYTES


def end(guest: Guest) -> Figures:
    """A suspend, and the removal of what it supersedes."""
    with guest.store.measured() as suspended:
        suspend(guest)
    with guest.store.measured() as pruned:
        retention.prune(guest.parcel)
        guest.store.sync()
    folder = guest.parcel.paths.checkpoint(guest.parcel.current_generation())
    return {
        "suspend_seconds": round(suspended.seconds, 4),
        "prune_seconds": round(pruned.seconds, 4),
        "ram_extents": extent_count(folder / RAM_NAME),
        "disk_extents": extent_count(folder / disk_name(0)),
    }


def suspend(guest: Guest) -> None:
    """As the session suspends, once the device state is saved."""
    save_state(guest.parcel.paths.live)
    manifest = manifest_of(guest, guest.parcel.paths.live, "suspend")
    live.flush(guest.parcel.paths.live, manifest)
    live.commit(guest.parcel, manifest)


def checkpoint_beside(guest: Guest, smooth_extents: int) -> Figures:
    """As the session makes one; the clone stands inside the virtual machine's pause."""
    parcel = guest.parcel
    staged = live.begin_checkpoint(parcel, parcel.next_generation())
    for name in live.running_files(parcel):
        fsync_path(parcel.paths.live / name)
    begun = live.clone_ahead(parcel, staged)
    with guest.store.measured() as paused:
        save_state(staged)
        completed = live.complete_clones(begun)
    with guest.store.measured() as committed:
        live.make_holes(completed)
        generation = live.commit_beside(parcel, staged, manifest_of(guest, staged, "while-running"))
        live.note_generation(parcel, generation)
    with guest.store.measured() as smoothed:
        smoothed_bytes = smoothing.smooth(parcel, aim_extents=smooth_extents) if smooth_extents else 0
    return {
        "pause_seconds": round(paused.seconds, 4),
        "commit_beside_seconds": round(committed.seconds, 4),
        "smooth_seconds": round(smoothed.seconds, 4),
        "smoothed_bytes": smoothed_bytes,
    }


def save_state(folder: Path) -> None:
    """What stands for the device state."""
    (folder / DEVICE_STATE_NAME).write_bytes(os.urandom(STATE_BYTES))


def manifest_of(guest: Guest, folder: Path, occasion: Occasion) -> CheckpointManifest:
    """The manifest of the files in ``folder``."""
    machine = guest.parcel.description.machine
    digest = hashlib.sha256((folder / DEVICE_STATE_NAME).read_bytes()).hexdigest()
    manifest = CheckpointManifest(
        generation=guest.parcel.next_generation(),
        parent=guest.parcel.current_generation(),
        taken_at=int(time.time()),
        disk_bytes=tuple(disk.size_bytes for disk in machine.disks),
        suspended=SuspendedState(machine.memory_mib * MIB, STATE_BYTES, digest, "kvm", "none", machine),
        occasion=occasion,
    )
    return replace(manifest, identity=identity_of(folder, expected_files(manifest)))


def touch(ram: Path, pages: Iterable[int]) -> None:
    """Reads a byte of each page through a mapping, as a resumed guest's first touches do."""
    with ram.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for page in pages:
            mapped[page * PAGE_BYTES]


def write_memory(ram: Path, spans: Iterable[Span], cycle: int) -> None:
    """Stores into every page of the spans."""
    with ram.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for span in spans:
            for offset in range(span.offset_bytes, span.offset_bytes + span.length_bytes, PAGE_BYTES):
                mapped[offset : offset + 8] = cycle.to_bytes(8, "little")


def write_disk(disk: Path, spans: Iterable[Span], cycle: int) -> None:
    """Writes every span in one piece, past the page cache."""
    descriptor = os.open(disk, os.O_WRONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, MIB) as buffer:  # aligned, as direct writes must be
            buffer[:8] = cycle.to_bytes(8, "little")
            for span in spans:
                with memoryview(buffer)[: span.length_bytes] as content:
                    os.pwrite(descriptor, content, span.offset_bytes)
    finally:
        os.close(descriptor)


def _fill_file(descriptor: int, mib: int) -> None:
    for index in range(mib):
        os.pwrite(descriptor, os.urandom(PAGE_BYTES) * (MIB // PAGE_BYTES), index * MIB)
    os.fsync(descriptor)
