"""The command: what it writes, what it says, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path

import pytest

from lookaside.index import INDEX_FILE
from lookaside.jukebox import finding
from lookaside.jukebox.finding import Found
from lookaside.jukebox.server import JukeboxServer
from lookaside.media.pressing import escaped, require_raw, xorriso_argv
from soulpad.base.errors import BadInput
from soulpad.cli.commands import lookaside_command
from soulpad.cli.main import main

from .lookaside.scene import CHUNKS, scene


def test_an_index_is_written_beside_the_packs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = scene(tmp_path / "scene")
    assert main(["lookaside", "index", str(here.root), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["chunks"], said["packs"], said["left_out"]) == (CHUNKS, 3, [])
    assert said["index_bytes"] == (here.root / INDEX_FILE).stat().st_size


def test_json_may_stand_before_the_action_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = scene(tmp_path / "scene")
    assert main(["lookaside", "--json", "index", str(here.root)]) == 0
    assert json.loads(capsys.readouterr().out)["packs"] == 3


def test_damaged_packs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = scene(tmp_path / "scene")
    damaged = here.packs()[0]
    damaged.write_bytes(b"damaged")
    assert main(["lookaside", "index", str(here.root)]) == 0
    assert f"damaged, left out: {damaged.name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["index", "FOLDER"], 85),
        (["serve", "FOLDER"], 87),
        (["serve", "FOLDER", "--port", "70000"], 2),
        (["iso", "--of", "FOLDER/none", "FOLDER/out.iso"], 10),
        (["iso", "--of", "FOLDER", "--public-key", "FOLDER/key", "FOLDER/out.iso"], 2),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int
) -> None:
    assert main(["lookaside", *[word.replace("FOLDER", str(tmp_path)) for word in argv]]) == code
    assert capsys.readouterr().err.startswith("soulpad: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_jukebox_is_ended_in_order_by_either_signal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    here = scene(tmp_path / "scene")
    real, before = JukeboxServer.service_actions, signal.getsignal(signal.SIGTERM)

    def end_while_it_serves(server: JukeboxServer) -> None:
        real(server)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(JukeboxServer, "service_actions", end_while_it_serves)
    argv = ["lookaside", "serve", str(here.root), "--port", "0", "--name", "[library]", "--quiet-network", "--json"]
    assert main(argv) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["chunks"] == CHUNKS
    assert "[library]: " in shown.err and "ended" in shown.err
    assert signal.getsignal(signal.SIGTERM) == before


def test_jukeboxes_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(finding, "find", lambda: [Found("[a] library", ("192.0.2.1", "fe80::1%eth0"), 7685)])
    assert lookaside_command.find(argparse.Namespace(json=False)) == 0
    assert capsys.readouterr().err == "[a] library  192.0.2.1, fe80::1%eth0, port 7685\n"
    monkeypatch.setattr(finding, "find", list)
    assert main(["lookaside", "find"]) == 0
    assert "no jukebox answers" in capsys.readouterr().err


# --- pressing


@pytest.mark.parametrize(
    ("start", "what"), [(b"QFI\xfb", "qcow2"), (b"KDMV", "VMDK"), (b"conectix", "VHD"), (b"", "empty")]
)
def test_an_image_of_another_format_is_refused(tmp_path: Path, what: str, start: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(start)
    with pytest.raises(BadInput, match=what):
        require_raw(path)


def test_paths_with_signs_that_xorriso_splits_at_are_escaped(tmp_path: Path) -> None:
    argv = xorriso_argv(tmp_path / "out", {"packs": Path("/srv/a=b\\c")})
    assert argv[-1] == "packs=/srv/a\\=b\\\\c"
    assert escaped("plain/path") == "plain/path"
