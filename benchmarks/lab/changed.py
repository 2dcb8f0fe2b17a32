"""How much of a guest's memory changed from one checkpoint to the next, and how much a suspend may write for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.lab.figures import Figures
from benchmarks.lab.store import Measurement
from soulpad.base.extents import Extent, extents
from soulpad.base.units import MIB
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import RAM_NAME, disk_name

PAGE_BYTES = 4096
ALLOWED_FACTOR, ALLOWED_EXTRA_BYTES = 1.1, 2_000_000


def allowed_bytes(changed: int) -> int:
    """The goal of what a suspend writes when so many bytes of memory changed."""
    return round(changed * ALLOWED_FACTOR) + ALLOWED_EXTRA_BYTES


def suspend_figures(parcel: Parcel, suspended: Measurement) -> Figures:
    """What a suspend took, what had changed since the checkpoint before it, and into what its bytes went.

    A file's bytes are those in blocks that it does not share with that checkpoint: an upper bound, for the kernel may
    have written some of them before the suspend. All else is the file system's log and its own records.
    """
    manifest = parcel.current()
    assert manifest.parent is not None and manifest.suspended
    before, after = parcel.paths.checkpoint(manifest.parent), parcel.paths.checkpoint(manifest.generation)
    changed, emptied = changed_bytes(before / RAM_NAME, after / RAM_NAME)
    written = suspended.traffic.written_bytes
    disks = [disk_name(index) for index in range(len(manifest.disk_bytes))]
    into = {
        "memory_bytes": unshared_bytes(before / RAM_NAME, after / RAM_NAME),
        "disks_bytes": sum(unshared_bytes(before / name, after / name) for name in disks),
        "device_state_bytes": manifest.suspended.device_state_bytes,
    }
    return {
        "suspend_seconds": suspended.seconds,
        "suspend_written_bytes": written,
        "changed_bytes": changed,
        "emptied_bytes": emptied,
        "allowed_bytes": allowed_bytes(changed),
        "suspend_written_into": into | {"all_else_bytes": max(0, written - sum(into.values()))},
    }


def unshared_bytes(before: Path, after: Path) -> int:
    """How much of ``after`` lies in other blocks than the same part of ``before``, of which it is a clone."""
    return unshared(extents(before), extents(after))


def unshared(before: Iterable[Extent], after: Iterable[Extent]) -> int:
    """The same, from where both files' bytes lie; both in the order of their file."""
    older, at, total = list(before), 0, 0
    for extent in after:
        while at < len(older) and end_of(older[at]) <= extent.logical_bytes:
            at += 1
        shared, place = 0, at
        while place < len(older) and older[place].logical_bytes < end_of(extent):
            if shift(older[place]) == shift(extent):
                first = max(extent.logical_bytes, older[place].logical_bytes)
                shared += min(end_of(extent), end_of(older[place])) - first
            place += 1
        total += extent.length_bytes - shared
    return total


def end_of(extent: Extent) -> int:
    """Where it ends in its file."""
    return extent.logical_bytes + extent.length_bytes


def shift(extent: Extent) -> int:
    """Equal for two extents that are pieces of one, whatever their first bytes are."""
    return extent.physical_bytes - extent.logical_bytes


def changed_bytes(before: Path, after: Path) -> tuple[int, int]:
    """Two files of one size: the bytes of all pages that differ, and of those among them that are zeros now. What the
    guest's kernel gave back is a hole then, for which nothing is written."""
    changed = emptied = 0
    with before.open("rb") as one, after.open("rb") as other:
        while block := one.read(MIB):
            beside = other.read(MIB)
            if block == beside:
                continue
            starts = range(0, len(block), PAGE_BYTES)
            pages = [
                beside[at : at + PAGE_BYTES]
                for at in starts
                if block[at : at + PAGE_BYTES] != beside[at : at + PAGE_BYTES]
            ]
            changed += len(pages)
            emptied += sum(not any(page) for page in pages)
    return changed * PAGE_BYTES, emptied * PAGE_BYTES
