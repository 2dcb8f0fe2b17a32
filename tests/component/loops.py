"""Loop devices that stand for sticks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soulpad.base.run import run


@contextmanager
def loop_device(backing: Path, size_bytes: int, sector_bytes: int = 512) -> Iterator[Path]:
    backing.touch()
    os.truncate(backing, size_bytes)
    made = run(["losetup", "--find", "--show", "--partscan", "--sector-size", str(sector_bytes), backing])
    device = Path(made.stdout.strip())
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


@contextmanager
def failing_device(folder: Path, size_bytes: int, good_bytes: int) -> Iterator[Path]:
    """A device that cannot be written once it has so many bytes."""
    small = folder / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={good_bytes}", "tmpfs", small])
    try:
        with loop_device(small / "backing", size_bytes) as device:
            yield device
    finally:
        run(["umount", small])
