"""What ends a session: SIGTERM (the power button, the lid, a shutdown: systemd stops the unit), or the guest itself.

Whatever else is to end it (a key combination, a PC that nobody uses, a command) asks systemd for the power-off, so
every way is the same way. SIGUSR1 asks for a checkpoint and ends nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

from soulpad.base.run import run

EndReason = Literal["asked", "shut-down", "crashed"]

UNIT = "soulpad-session.service"


class StopRequested(Exception):
    """The PC is to be switched off while nothing needs saving."""


class Stopping:
    """Notes why the session ends: a person or the system asked, or the guest shut down or crashed."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._interruptible = False
        self._reason: EndReason = "asked"
        self._save: Callable[[], None] = _nothing
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self._save())

    def on_save(self, save: Callable[[], None] | None) -> None:
        """Has ``save`` called at each SIGUSR1; it must return at once. None: no more."""
        self._save = save or _nothing

    def guest_ended(self, reason: EndReason) -> None:
        """The virtual machine went away by itself."""
        self._end(reason)

    def wait(self) -> EndReason:
        """Waits until the session is to end; returns the reason."""
        while not self._event.wait(timeout=1.0):
            pass
        return self._reason

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While a person is asked something, a request to stop raises StopRequested."""
        if self.asked:
            raise StopRequested
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._end("asked")
        if self._interruptible:
            raise StopRequested

    def _end(self, reason: EndReason) -> None:
        if not self._event.is_set():
            self._reason = reason
            self._event.set()


def _nothing() -> None:
    """Before a session runs there is nothing to save."""


def ask_for_power_off() -> None:
    """Asks systemd for what the power button asks for; harmless when it is under way. Raises ProgramFailed."""
    run(["systemctl", "poweroff"])


def ask_for_checkpoint() -> None:
    """Asks the session that runs on this host for a checkpoint; returns at once. Raises ProgramFailed."""
    run(["systemctl", "kill", "--kill-whom=main", "--signal=SIGUSR1", UNIT])


def session_is_running() -> bool:
    """Whether this host has a session that a power-off would suspend: it runs, and is not being ended already."""
    # systemctl(1), is-active: 3 for a unit that is not, 4 for one that does not exist
    return run(["systemctl", "is-active", UNIT], ok_codes=(0, 3, 4)).stdout.strip() == "active"
