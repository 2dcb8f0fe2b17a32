"""Clones, checkpoints and room on a small XFS with reflink, made as the builder makes the store's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.debian.toolbox import toolbox
from builder.store import xfs
from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run
from soulpad.base.units import MIB
from tests.component.on_xfs import SCENARIOS

pytestmark = [pytest.mark.component, pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")]

STORE_BYTES = 640 * MIB  # the reserve is made where four times as much is free


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    image = tmp_path / "store.img"
    xfs.make_xfs(image, STORE_BYTES, {}, "parcels", toolbox().argv)
    try:
        found = run(["losetup", "--find", "--show", image]).stdout.strip()
    except ProgramFailed:
        pytest.skip("no loop device here")
    yield found
    run(["losetup", "--detach", found])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_on_a_real_xfs(tmp_path: Path, device: str, scenario: str) -> None:
    root = tmp_path / "store"
    root.mkdir()
    # In a mount namespace of its own: what else runs here must not hold on to the mount.
    unshared = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.component.on_xfs"]
    run([*unshared, scenario, device, root])
