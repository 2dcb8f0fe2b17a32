"""``soulpad restore --folder`` of the only parcel of a repository, by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soulpad.cli.main import main

from .backup_parcels import KEY, content_of


class Restored:
    """What the command said. ``bytes``: by source; ``code``: its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path, *words: object) -> None:
        secret = folder / "secret"
        secret.write_bytes(KEY.secret.reveal())
        argv = ["restore", "--from", folder / "repository", "--folder", folder / "out", *words]
        self.code = main([*map(str, argv), "--older-copy", "--passphrase-file", str(secret), "--json"])
        fields: dict[str, Any] = json.loads(capsys.readouterr().out or "{}")
        self.bytes = {one["name"]: one["bytes"] for one in fields["bytes"]["sources"]} if fields else {}
        self.contents = content_of(folder / "out")
