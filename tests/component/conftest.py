"""A store's file system for the tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from benchmarks.lab.storedevice import store_device
from builder.debian.toolbox import toolbox
from soulpad.base.run import run
from soulpad.base.units import GIB


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty XFS of 1 GiB, made and mounted as a stick's; one for all tests of a module."""
    folder = tmp_path_factory.mktemp("store")
    with store_device(folder, GIB, {PurePosixPath("parcels"): None}, toolbox()) as device:
        root = folder / "root"
        root.mkdir()
        run(["mount", "-t", "xfs", device, root])
        try:
            yield root
        finally:
            run(["umount", root])
