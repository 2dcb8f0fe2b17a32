"""What the boot tests share: a stick that was never used, and one walk from PC A to PC B, whose stick the other tests
go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo import evidence
from demo.walk import FOLDER, walk_key, walk_with_a_retry
from soulpad.base.progress import Silent
from soulpad.base.units import GIB
from tests.boot.sticks import unused_stick


@pytest.fixture(scope="session")
def walked() -> dict[str, Any]:
    """The report of a walk, the demonstration's if nothing changed since. Its stick stays as it is: the other tests
    work on copies."""
    key = walk_key(Silent())
    report = evidence.kept(FOLDER / "report.json", key) or walk_with_a_retry(FOLDER, Silent(), key)
    if report["begun_anew_because"]:
        print(f"the walk was begun anew: {report['begun_anew_because']}")
    return report


@pytest.fixture(scope="session")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick of 3 GiB whose parcel is an empty disk with a boot signature. It stays as it is."""
    return unused_stick(tmp_path_factory.mktemp("stick"), 3 * GIB, 512)
