"""What the boot tests share: one walk from PC A to PC B, whose stick the other tests go on with."""

from __future__ import annotations

from typing import Any

import pytest

from builder.places import BUILD
from demo.walk import walk_with_a_retry
from soulpad.base.progress import Silent

FOLDER = BUILD / "boot-tests"


@pytest.fixture(scope="session")
def walked() -> dict[str, Any]:
    """The report of a walk; its stick stays for the other tests, which work on copies."""
    report = walk_with_a_retry(FOLDER, Silent())
    if report["begun_anew_because"]:
        print(f"the walk was begun anew: {report['begun_anew_because']}")
    return report
