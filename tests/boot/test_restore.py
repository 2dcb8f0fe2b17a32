"""A stick that was lost: one that was made anew from its backup resumes the session, on another PC, memory and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.pc.profile import find_profile
from demo.stations import stay
from demo.walk import HOST, LABORATORY, LUKS, PASSPHRASE
from soulpad.base.progress import Silent
from soulpad.base.secrets import Secret
from soulpad.cli.main import main

pytestmark = pytest.mark.boot

ANOTHER_PASSPHRASE = "another passphrase for the new stick"
PC = "secure-laptop"


def test_a_stick_restored_from_a_backup_resumes_the_session_with_its_memory(
    walked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    (tmp_path / "another").write_text(ANOTHER_PASSPHRASE)
    repository, stick = tmp_path / "repository", tmp_path / "stick.img"
    secret = ["--passphrase-file", str(tmp_path / "passphrase")]
    assert main(["backup", walked["image"], "--to", str(repository), *secret]) == 0
    words = ["restore", "--from", str(repository), str(stick), *secret, "--recipe", str(HOST)]
    words += [word for argument in LABORATORY for word in ("--kernel-argument", argument)]
    words += ["--unlock-memory", f"{LUKS.argon2_memory_kib}KiB"]
    assert main([*words, "--new-passphrase-file", str(tmp_path / "another")]) == 0

    pattern_mib = walked["continuity"]["memory_pattern_mib"]
    secret_of_the_new = Secret(ANOTHER_PASSPHRASE.encode())
    seen = stay(find_profile(PC), stick, tmp_path / "pc", secret_of_the_new, pattern_mib, Silent())
    assert seen.first_soul["boot_id"] == walked["continuity"]["boot_id"][1]
    assert seen.first_soul["counter"] > walked["continuity"]["counter"][1]
    assert seen.last_soul["pattern_ok"]
    assert seen.answers["verify"] == f"{pattern_mib} MiB are as they were"
    assert seen.first_soul["file_found"]
