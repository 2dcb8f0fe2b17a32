"""The command line: one line, a hint and an exit code when something is wrong; help for every command."""

from __future__ import annotations

import argparse
import re
from types import SimpleNamespace

import pytest

from soulpad.base.errors import BadInput, CannotResume, SoulpadError
from soulpad.cli import main as cli
from soulpad.cli.main import COMMANDS, complain, main


def command(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, code: int | None = None) -> None:
    """Every command becomes one that ends so."""

    def run(_arguments: argparse.Namespace) -> int | None:
        if error:
            raise error
        return code

    module = SimpleNamespace(run=run, add_arguments=lambda parser: parser.add_argument("--flag", action="store_true"))
    monkeypatch.setattr(cli, "command_module", lambda _name: module)


@pytest.mark.parametrize("argv", [[], ["destroy"], ["--no-such-option"], ["devices", "--no-such-option"]])
def test_a_wrong_command_line_ends_with_2_and_shows_the_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert shown.out == "" and shown.err.startswith("usage: soulpad")


def test_an_unknown_command_is_named_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["destroy"])
    shown = capsys.readouterr().err
    assert "destroy" in shown and all(name in shown for name in COMMANDS)


def test_help_names_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_prints_json_when_asked(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    shown = capsys.readouterr()
    assert ended.value.code == 0 and shown.err == ""
    assert shown.out.startswith(f"usage: soulpad {name}")
    assert COMMANDS[name][1:] in " ".join(shown.out.split()) and "--json" in shown.out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "session"])
def test_every_command_for_people_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert re.search(rf"soulpad {name}\b", capsys.readouterr().out.split("\n\n", 1)[1])


def test_an_expected_failure_is_a_line_a_hint_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, CannotResume("it does not fit", "use another PC"))
    assert main(["try"]) == CannotResume.exit_code == 50
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "soulpad: it does not fit\nhint: use another PC\n")


def test_without_a_hint_there_is_only_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(SoulpadError("it failed")) == 1
    assert capsys.readouterr().err == "soulpad: it failed\n"


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command(monkeypatch, KeyboardInterrupt())
    assert main(["create"]) == 130
    assert capsys.readouterr().err.startswith("soulpad: interrupted")


def test_a_reader_that_went_away_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, BrokenPipeError())
    assert main(["devices"]) == 1


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["devices"])


@pytest.mark.parametrize(("code", "ended"), [(None, 0), (0, 0), (3, 3)])
def test_a_commands_own_code_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, code: int | None, ended: int) -> None:
    command(monkeypatch, None, code)
    assert main(["doctor", "--flag"]) == ended


def test_only_the_named_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(name: str) -> SimpleNamespace:
        loaded.append(name)
        return SimpleNamespace(run=lambda _: 0, add_arguments=lambda _: None)

    monkeypatch.setattr(cli, "command_module", load)
    assert main(["--verbose", "devices"]) == 0
    assert set(loaded) == {"devices"}


def test_the_console_script_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, BadInput("no"))
    monkeypatch.setattr("sys.argv", ["soulpad", "build"])
    with pytest.raises(SystemExit) as ended:
        cli.entry()
    assert ended.value.code == BadInput.exit_code
