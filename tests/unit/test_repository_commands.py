"""The commands on repositories: what they print, their exit codes, and that bad input costs a line and no data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lookaside.marks import MARKS
from soulpad.cli.main import main

from .backup_parcels import KEY, UUID, add_checkpoint, make_parcel, make_repository, save

VERSIONS = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of four versions of the parcel "work", and the passphrase in a file."""
    paths = make_parcel(tmp_path / "store")
    repository = make_repository(tmp_path / "repository")
    for generation in range(1, VERSIONS):
        save(tmp_path / "store", repository, tmp_path / "seen.json")
        add_checkpoint(paths, generation, generation - 1)
    save(tmp_path / "store", repository, tmp_path / "seen.json")
    (tmp_path / "secret").write_bytes(KEY.secret.reveal())
    (tmp_path / "wrong").write_bytes(b"no passphrase of it at all")
    return tmp_path


class Said:
    """What a command printed. ``code``: its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path, *argv: str, secret: str = "secret") -> None:
        unlocking = ["--passphrase-file", str(folder / secret)] if secret else []
        self.code = main([*argv, *unlocking, "--json"])
        printed = capsys.readouterr()
        self.complaint = printed.err
        self.fields = json.loads(printed.out) if printed.out else {}


def test_versions_are_listed_with_names_and_dates_only_to_who_has_the_key(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said(capsys, folder, "versions", str(folder / "repository"))
    (parcel,) = said.fields["parcels"]
    assert said.code == 0 and parcel["uuid"] == UUID
    assert [version["number"] for version in parcel["versions"]] == list(range(VERSIONS))
    assert {version["parcel_name"] for version in parcel["versions"]} == {"work"}
    assert parcel["versions"][1]["taken_at"] == 1763700001
    (parcel,) = Said(capsys, folder, "versions", str(folder / "repository"), secret="").fields["parcels"]
    assert [version["parcel_name"] for version in parcel["versions"]] == [None] * VERSIONS


def test_versions_are_forgotten_by_policy_and_by_number_and_then_freed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(folder / "repository")
    forgetting = ["forget", root, "--parcel", "work"]
    dry = Said(capsys, folder, *forgetting, "--keep-last", "2", "--dry-run")
    assert dry.fields["forgotten"] == [0, 1]
    assert Said(capsys, folder, *forgetting, "--version", "1").fields["forgotten"] == [1]
    assert Said(capsys, folder, *forgetting, "--keep-last", "1").fields["forgotten"] == [0, 2]
    collected = Said(capsys, folder, "collect", root, "--rewrite-below", "100%")
    assert collected.code == 0 and collected.fields["freed_bytes"] > 0
    assert Said(capsys, folder, "verify", root).fields["whole"]
    (parcel,) = Said(capsys, folder, "versions", root).fields["parcels"]
    assert [version["number"] for version in parcel["versions"]] == [VERSIONS - 1]


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--keep-last", "1", "--version", "0"], 2),
        ([], 2),
        (["--keep-last", "-1"], 2),
        (["--version", "99"], 10),
        (["--version", str(VERSIONS - 1)], 10),
    ],
)
def test_what_cannot_be_forgotten_is_told_and_nothing_is_deleted(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int
) -> None:
    said = Said(capsys, folder, "forget", str(folder / "repository"), "--parcel", UUID, *argv)
    assert said.code == code and "soulpad: " in said.complaint
    (parcel,) = Said(capsys, folder, "versions", str(folder / "repository")).fields["parcels"]
    assert len(parcel["versions"]) == VERSIONS


@pytest.mark.parametrize("command", ["versions", "collect", "verify"])
def test_a_wrong_passphrase_and_a_folder_that_is_none_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert Said(capsys, folder, command, str(folder / "repository"), secret="wrong").code == 12
    assert Said(capsys, folder, command, str(folder / "store")).code == 75


def test_damage_is_found_told_and_what_is_whole_saved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder / "repository"
    newest = max(root.glob("packs/*/*"), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(newest.read_bytes())
    content[64 + 96 + 20] ^= 1
    newest.write_bytes(bytes(content))
    found = Said(capsys, folder, "verify", str(root))
    assert found.code == 90 and [lost["number"] for lost in found.fields["incomplete"]] == [VERSIONS - 1]
    assert Said(capsys, folder, "verify", str(root), secret="").code == 90
    saved = Said(capsys, folder, "recover", str(root), "--to", str(folder / "new"))
    assert saved.code == 90 and saved.fields["versions"] == VERSIONS - 1
    assert Said(capsys, folder, "verify", str(folder / "new")).fields["whole"]
    assert main(["verify", str(root), "--passphrase-file", str(folder / "secret")]) == 90
    assert f"version {VERSIONS - 1} of parcel {UUID}" in capsys.readouterr().err
    again = Said(capsys, folder, "recover", str(root), "--to", str(folder / "new"))
    assert again.code == 75


def test_a_repository_that_is_whole_is_said_to_be_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["versions"], ["verify", "--share", "30%"], ["collect"]):
        assert main([argv[0], str(folder / "repository"), *argv[1:], "--passphrase-file", str(folder / "secret")]) == 0
    assert "whole" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "101%", "half", "-5%"])
def test_a_share_that_is_none_is_refused(folder: Path, share: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(folder / "repository"), f"--share={share}"])
    assert ended.value.code == 2


def test_a_dead_runs_pin_is_named_and_can_be_broken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder / "repository"
    (root / MARKS / "writing-0123").write_text("")
    Said(capsys, folder, "forget", str(root), "--parcel", "work", "--keep-last", "1")
    assert Said(capsys, folder, "collect", str(root)).fields["awaited"] == ["0123"]
    assert Said(capsys, folder, "collect", str(root), "--break-pin", "0123").fields["taken_away"] == ["0123"]
    assert Said(capsys, folder, "collect", str(root), "--break-pin", "0123").code == 10


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_repository_that_cannot_be_written_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "repository" / MARKS).chmod(0o500)
    assert Said(capsys, folder, "collect", str(folder / "repository")).code == 91
    (folder / "repository" / MARKS).chmod(0o700)
