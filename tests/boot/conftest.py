"""What the boot tests share: one walk from PC A to PC B, whose stick the other tests go on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.pc.running import GuestPanicked
from builder.places import BUILD
from demo.walk import walk
from soulpad.base.progress import Silent

FOLDER = BUILD / "boot-tests"


def retried_once_on_panic(folder: Path) -> dict[str, Any]:
    """The emulator is known to panic a guest kernel now and then (a race in its multi-threaded mode): said, and
    tried once more. Anything else fails at once."""
    try:
        return walk(folder, Silent())
    except GuestPanicked as panic:
        print(f"the emulated PC panicked, trying once more: {panic.message}")
        return walk(folder, Silent())


@pytest.fixture(scope="session")
def walked() -> Iterator[dict[str, Any]]:
    """The report of a walk; its stick stays for the other tests, which work on copies."""
    yield retried_once_on_panic(FOLDER)
