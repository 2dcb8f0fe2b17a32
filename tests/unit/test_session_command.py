"""``soulpad session suspend``: the power button's way, where there is a session, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soulpad.cli.commands import session_command
from soulpad.cli.main import main
from soulpad.session import stopping


@pytest.fixture
def power_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """On a stick whose session runs; returns the power-offs that were asked for."""
    asked: list[str] = []
    monkeypatch.setattr(session_command, "ON_A_STICK", tmp_path)
    monkeypatch.setattr(stopping, "session_is_running", lambda: True)
    monkeypatch.setattr(stopping, "ask_for_power_off", lambda: asked.append("power-off"))
    return asked


def test_suspend_asks_for_the_power_off_once_and_says_so_in_a_line(
    power_off: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["session", "suspend"]) == 0
    assert power_off == ["power-off"]
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1 and "suspended" in shown.out and shown.err == ""


def test_suspend_says_it_to_machines_as_one_object(power_off: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["session", "suspend", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"asked_for": "power-off"}


def test_suspend_without_a_session_is_refused_and_switches_nothing_off(
    power_off: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stopping, "session_is_running", lambda: False)
    assert main(["session", "suspend"]) == 2
    assert power_off == [] and "no session runs" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["run", "suspend"])
def test_a_machine_that_does_not_run_from_a_stick_is_left_alone(
    action: str,
    power_off: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(session_command, "ON_A_STICK", tmp_path / "nothing")
    assert main(["session", action]) == 2
    assert power_off == [] and "does not run from a stick" in capsys.readouterr().err


def test_an_action_that_there_is_not_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["session", "hibernate"])
    assert ended.value.code == 2
