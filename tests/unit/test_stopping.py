"""Why a session ends, and how its end is asked for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import Result
from soulpad.session import stopping as module
from soulpad.session.stopping import Stopping, StopRequested


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    """In this process; what it did with SIGTERM before comes back."""
    before = signal.getsignal(signal.SIGTERM)
    yield Stopping()
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_ends_the_session_as_asked_for(stopping: Stopping) -> None:
    assert not stopping.asked
    threading.Timer(0.01, terminate).start()
    assert stopping.wait() == "asked"
    assert stopping.asked


def test_the_first_reason_counts(stopping: Stopping) -> None:
    stopping.guest_ended("shut-down")
    terminate()
    stopping.guest_ended("crashed")
    assert stopping.wait() == "shut-down"


def test_sigterm_breaks_off_a_question_but_nothing_else(stopping: Stopping) -> None:
    with pytest.raises(StopRequested), stopping.interruptible():
        terminate()
    terminate()
    assert stopping.wait() == "asked"


def test_nothing_is_asked_any_more_once_the_end_was_asked_for(stopping: Stopping) -> None:
    terminate()
    with pytest.raises(StopRequested), stopping.interruptible():
        pytest.fail("the question was asked")


@pytest.mark.parametrize(
    ("state", "running"),
    [("active", True), ("inactive", False), ("failed", False), ("deactivating", False), ("", False)],
)
def test_a_session_runs_only_while_its_unit_is_active(
    state: str, running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], ok_codes: tuple[int, ...]) -> Result:
        asked.append(argv)
        assert {0, 3, 4} <= set(ok_codes)
        return Result(f"{state}\n", "")

    monkeypatch.setattr(module, "run", run)
    assert module.session_is_running() is running
    assert asked == [["systemctl", "is-active", "soulpad-session.service"]]


def test_a_power_off_that_systemd_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_argv: list[str]) -> Result:
        raise ProgramFailed("systemctl ended with 1: Access denied")

    monkeypatch.setattr(module, "run", run)
    with pytest.raises(ProgramFailed, match="Access denied"):
        module.ask_for_power_off()
