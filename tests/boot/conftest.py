"""What the boot tests share: one walk from PC A to PC B, whose stick the other tests go on with."""

from __future__ import annotations

from typing import Any

import pytest

from demo import evidence
from demo.walk import FOLDER, walk_key, walk_with_a_retry
from soulpad.base.progress import Silent


@pytest.fixture(scope="session")
def walked() -> dict[str, Any]:
    """The report of a walk, the demonstration's if nothing changed since. Its stick stays as it is: the other tests
    work on copies."""
    key = walk_key(Silent())
    report = evidence.kept(FOLDER / "report.json", key) or walk_with_a_retry(FOLDER, Silent(), key)
    if report["begun_anew_because"]:
        print(f"the walk was begun anew: {report['begun_anew_because']}")
    return report
