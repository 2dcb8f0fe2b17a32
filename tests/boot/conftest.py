"""What the boot tests share: a stick that was never used, and one walk from PC A to PC B, whose stick the other tests
go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.create import StickSpec, create_stick
from builder.guest.parcels import ParcelRequest
from demo import evidence
from demo.walk import FOLDER, HOST, LABORATORY, LUKS, PASSPHRASE, walk_key, walk_with_a_retry
from soulpad.base.progress import Silent
from soulpad.base.secrets import Secret
from soulpad.base.units import GIB, MIB


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
    folder = tmp_path_factory.mktemp("stick")
    guest = folder / "guest.img"
    guest.write_bytes(bytes(510) + b"\x55\xaa")
    with guest.open("r+b") as file:
        file.truncate(64 * MIB)
    spec = StickSpec(3 * GIB, (ParcelRequest("work", guest, 512),), HOST, "us", LUKS, LABORATORY)
    return create_stick(folder / "stick.img", spec, Secret(PASSPHRASE.encode()), None, Silent()).image
