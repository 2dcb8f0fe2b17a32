"""``soulpad keys``, and ``soulpad backup`` of a mounted store, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lookaside import keyslots
from lookaside.repository import KEYS
from soulpad.cli.main import main

from .backup_parcels import CHEAP, FILES, KEY, add_checkpoint, content_of, make_parcel, make_repository


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository and secrets in files; guessing costs little."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(keyslots, "USUAL", CHEAP)
    make_repository(tmp_path / "repository")
    (tmp_path / "mine").write_bytes(KEY.secret.reveal() + b"\n")
    (tmp_path / "other").write_text("another passphrase of many words")
    (tmp_path / "short").write_text("short")
    (tmp_path / "spare.key").write_bytes(bytes(range(64)))
    return tmp_path


def keys(folder: Path, *words: str, opened_by: str = "mine") -> int:
    return main(["keys", str(folder / "repository"), *words, "--passphrase-file", str(folder / opened_by)])


def slots(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    main(["keys", str(folder / "repository"), "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["slots"]
    return found


def test_slots_are_listed_without_a_secret_added_and_removed_with_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = slots(folder, capsys)
    assert (first["kind"], first["problem"]) == ("passphrase", None)
    assert keys(folder, "--add", "--new-key-file", str(folder / "spare.key")) == 0
    assert keys(folder, "--add", "--new-passphrase-file", str(folder / "other")) == 0
    assert sorted(slot["kind"] for slot in slots(folder, capsys)) == ["key-file", "passphrase", "passphrase"]
    assert keys(folder, "--remove", first["name"], opened_by="other") == 0
    assert keys(folder, "--add", "--new-passphrase-file", str(folder / "mine")) == 12
    assert len(slots(folder, capsys)) == 2


def test_the_last_slot_and_one_that_is_not_there_are_not_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = slots(folder, capsys)
    assert keys(folder, "--remove", first["name"]) == 10
    assert keys(folder, "--remove", "0000") == 10
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["soulpad", "hint"] * 2
    assert slots(folder, capsys) == [first]


def test_bad_secrets_and_bad_places_have_their_exit_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(folder, "--add", "--new-passphrase-file", str(folder / "short")) == 11
    assert keys(folder, "--add", "--new-key-file", str(folder / "short")) == 10
    assert main(["keys", str(folder)]) == 75
    (folder / "repository" / KEYS / "00.json").write_text("{")
    assert main(["keys", str(folder / "repository")]) == 77
    assert "damaged" in capsys.readouterr().err


def test_a_mounted_store_is_backed_up_with_the_repositorys_secret_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = make_parcel(folder / "store")
    words = ["backup", str(folder / "store"), "--to", str(folder / "repository")]
    secret = ["--passphrase-file", str(folder / "mine")]
    assert main([*words, *secret]) == 0
    add_checkpoint(paths, 1, 0)
    assert main([*words, *secret, "--json"]) == 0
    restore = ["restore", "--from", str(folder / "repository"), "--folder", str(folder / "out")]
    assert main([*restore, *secret]) == 0
    assert len(content_of(folder / "out")) == len(FILES)
    assert content_of(folder / "out") == content_of(paths.checkpoint(1))
    assert main([*words, "--passphrase-file", str(folder / "other")]) == 12
    capsys.readouterr()


def test_one_parcel_that_cannot_be_backed_up_does_not_hinder_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_parcel(folder / "store")
    broken = make_parcel(folder / "store", "11111111-7a51-4f0e-9a5e-6b1d3f2c8e77", "broken")
    (broken.checkpoint(0) / "ram.img").unlink()
    words = ["backup", str(folder / "store"), "--to", str(folder / "repository"), "--json"]
    assert main([*words, "--passphrase-file", str(folder / "mine")]) == 50
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert [item["parcel"] for item in told["parcels"]] == ["work"]
    assert [(item["parcel"], item["exit_code"]) for item in told["failed"]] == [(broken.uuid, 50)]
    assert "checkpoint 0: ram.img is missing" in said.err
