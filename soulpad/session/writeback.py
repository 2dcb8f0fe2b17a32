"""When the kernel writes a guest's changed memory to the stick: at checkpoints, at a suspend, and when there is much.

Between two checkpoints nobody needs it there, for after a crash it is thrown away. By itself Linux writes whatever is
older than 30 s; a guest that goes on changing the same memory would have the stick written for ever, and its disk
gets what that leaves over (docs/decisions/0008-runtime.md). The bound is for the suspend, which writes the rest while
a person waits. On the booted host nothing but the store is ever written back, so the machine's settings are the
store's. Source: Linux Documentation/admin-guide/sysctl/vm.rst, Documentation/ABI/testing/sysfs-class-bdi.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from soulpad.base.units import MIB, SECTOR_BYTES

log = logging.getLogger("soulpad.session")

VM = Path("/proc/sys/vm")
BDI = Path("/sys/class/bdi")
BLOCK = Path("/sys/class/block")
EXPIRE_SECONDS = 3600  # longer than checkpoints ever lie apart: age alone is no reason to write
# What a suspend may have left to write, in seconds of the stick's writing.
SUSPEND_SECONDS = 25
# Of a stick that was not yet seen writing: a cheap one. A worse one has no smaller bound than the least: what a guest
# goes round would be written for ever.
SLOW_BYTES_PER_SECOND = 10_000_000
LEAST_BYTES = 100_000_000
WORTH_MEASURING_BYTES = 16 * MIB
# Of what memory is free or holds files. A guest that changes more is slowed to what the stick takes; PCs with little
# memory come here first, and the bound is then half of it (the kernel sees to that).
MOST_CHANGED_PERCENT = 40
# A device that has not written for a minute has a share of nothing in what may wait on the whole machine, unless it is
# promised one; 100 the kernel promises to nobody.
WHOLE_SHARE_PERCENT = 99
TWINS = ("dirty_bytes", "dirty_ratio", "dirty_background_bytes", "dirty_background_ratio")


def bound_bytes(write_bytes_per_second: float) -> int:
    """So much changed memory may wait for a checkpoint, on a stick of that speed."""
    return max(LEAST_BYTES, int(write_bytes_per_second * SUSPEND_SECONDS))


def fitted_bound(written_bytes: int, seconds: float) -> int | None:
    """The bound for a stick that took so long for so much; None where that was too little to tell."""
    return bound_bytes(written_bytes / seconds) if written_bytes >= WORTH_MEASURING_BYTES else None


def settings(bound: int) -> dict[str, str]:
    """File below ``VM`` -> what to write there."""
    return {
        "dirty_expire_centisecs": str(EXPIRE_SECONDS * 100),
        "dirty_background_bytes": str(bound),
        "dirty_ratio": str(MOST_CHANGED_PERCENT),
    }


@contextmanager
def held_back(*stores: Path, share_percent: int = WHOLE_SHARE_PERCENT) -> Iterator[None]:
    """Until the block ends, memory on the mounted devices waits for checkpoints; then all is set as before.

    A stick's host has one store and writes nothing else. Where other disks are written, as in a laboratory, each store
    has its bound for itself as a smaller share of more.
    """
    shares = [bdi_of(store) / name for store in stores for name in ("min_ratio", "max_ratio")]
    with as_before(*shares, *(VM / name for name in (*TWINS, "dirty_expire_centisecs"))):
        for share in shares:
            put(share, str(share_percent))
        for name, value in settings(bound_bytes(SLOW_BYTES_PER_SECOND) * 100 // share_percent).items():
            put(VM / name, value)
        yield


@contextmanager
def fitted_to_stick(store: Path) -> Iterator[None]:
    """Within ``held_back``: fits the bound to the speed at which the block, a checkpoint, writes to the device."""
    before_bytes, began = written_bytes(store), time.monotonic()
    try:
        yield
    finally:
        if bound := fitted_bound(written_bytes(store) - before_bytes, time.monotonic() - began):
            put(VM / "dirty_background_bytes", str(bound))


def written_bytes(device: Path) -> int:
    """What was written to a block device so far; 0 where nobody knows (Linux Documentation/block/stat.rst)."""
    try:
        fields = (BLOCK / device.resolve().name / "stat").read_text().split()
    except OSError:
        return 0
    return int(fields[6]) * SECTOR_BYTES


def bdi_of(device: Path) -> Path:
    """Where the kernel has the settings for writing back to a block device."""
    number = device.stat().st_rdev
    return BDI / f"{os.major(number)}:{os.minor(number)}"


@contextmanager
def as_before(*paths: Path) -> Iterator[None]:
    """After the block these settings are what they were."""
    found = {path: path.read_text().strip() for path in paths if path.exists()}
    try:
        yield
    finally:
        for path, value in to_restore(found).items():
            put(path, value)


def to_restore(found: Mapping[Path, str]) -> dict[Path, str]:
    """What to write back. Of a limit in bytes and its twin in percent the kernel has one and calls the other 0;
    writing that 0 would be refused, or worse, taken."""
    return {path: value for path, value in found.items() if not (path.name in TWINS and value == "0")}


def put(path: Path, value: str) -> None:
    """Writes a setting. A kernel that does not take it writes back in its own way, and the session is as safe."""
    try:
        path.write_text(value)
    except OSError as error:
        log.warning("%s stays as it is: %s", path, error.strerror)
