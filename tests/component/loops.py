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
