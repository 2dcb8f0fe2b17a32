"""In the host's root: the mounted store, cold when it is asked for, and what goes over its device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab.throttle import Speeds, throttle
from soulpad.base.run import run
from soulpad.base.units import SECTOR_BYTES
from soulpad.session.volume import MOUNT_POINT

MOUNT_OPTIONS = "noatime,nodev,nosuid,noexec"


@dataclass(frozen=True)
class Traffic:
    """Bytes that went over a device."""

    read_bytes: int
    written_bytes: int

    def __sub__(self, earlier: Traffic) -> Traffic:
        return Traffic(self.read_bytes - earlier.read_bytes, self.written_bytes - earlier.written_bytes)


@dataclass
class Measurement:
    """What one measured step took; filled in at its end."""

    seconds: float = 0.0
    traffic: Traffic = Traffic(0, 0)


def parse_traffic(stat: str) -> Traffic:
    """From the text of ``/sys/block/DEVICE/stat``: fields 3 and 7 count sectors of 512 bytes, whatever the device's.

    Source: Linux Documentation/block/stat.rst.
    """
    fields = [int(word) for word in stat.split()]
    return Traffic(fields[2] * SECTOR_BYTES, fields[6] * SECTOR_BYTES)


@dataclass(frozen=True)
class Store:
    """A store's device; while mounted, its files lie below ``root``."""

    device: Path
    limits: Speeds | None
    root: Path = MOUNT_POINT

    def mount(self) -> None:
        """As the session mounts it."""
        self.root.mkdir(mode=0o711, exist_ok=True)
        run(["mount", "-t", "xfs", "-o", MOUNT_OPTIONS, self.device, self.root])

    def make_cold(self) -> None:
        """Mounts it anew: no page and no inode of it stays in memory. Nothing else on this machine is disturbed."""
        run(["umount", self.root])
        self.mount()

    def traffic(self) -> Traffic:
        """Since the device was made."""
        return parse_traffic((Path("/sys/block") / self.device.name / "stat").read_text())

    def sync(self) -> None:
        """Returns when everything is on the device."""
        run(["sync", "--file-system", self.root])

    @contextmanager
    def measured(self) -> Iterator[Measurement]:
        """Time and traffic of the block, with the device throttled."""
        result = Measurement()
        throttle(self.device, self.limits)
        try:
            before, began = self.traffic(), time.monotonic()
            yield result
            result.seconds, result.traffic = time.monotonic() - began, self.traffic() - before
        finally:
            throttle(self.device, None)
