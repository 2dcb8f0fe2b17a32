"""What the boot tests share: a stick that was never used, and one walk from PC A to PC B, whose stick the other tests
go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo import walk
from soulpad.base.progress import Silent
from soulpad.base.units import GIB
from tests.boot.sticks import unused_stick


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The walk comes first, then what needs no walk: where two tests run at a time, the second need not wait for it."""
    items.sort(key=turn)


def turn(item: pytest.Item) -> int:
    """Tests with the same number stay in their order."""
    if item.get_closest_marker("boot") is None:
        return 0
    if "walked" not in getattr(item, "fixturenames", ()):
        return 2
    return 1 if item.path.stem == "test_walk" else 3


@pytest.fixture(scope="session")
def walked() -> dict[str, Any]:
    """The report of a walk, the demonstration's if nothing changed since. Its stick stays as it is: the other tests
    work on copies."""
    report, _ = walk.walked(Silent())
    if report["begun_anew_because"]:
        print(f"the walk was begun anew: {report['begun_anew_because']}")
    return report


@pytest.fixture(scope="session")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick of 3 GiB whose parcel is an empty disk with a boot signature. It stays as it is."""
    return unused_stick(tmp_path_factory.mktemp("stick"), 3 * GIB, 512)
