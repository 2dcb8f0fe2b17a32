"""Coming back to the world: what a resumed guest cannot know is told to it while its session already runs.

A suspended guest's clock stands, and the network it knew is gone. A thread beside the session sets the clock through
QEMU's guest agent, where the guest has one, and pulls the network cable out for a moment, which makes DHCP clients
renew and programs connect again. Then it follows the clock of this host, which shows what the PC's RTC says until a
time server was reached. All of it is a service to the guest: nothing here delays, blocks or fails a session.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from soulpad.base.errors import SoulpadError
from soulpad.base.run import run
from soulpad.session.report import report
from soulpad.vm.hypervisor import AgentSilent, RunningMachine

log = logging.getLogger("soulpad.session")

TIME_SERVICE = "systemd-timesyncd.service"
TOLERATED_SECONDS = 0.25
SETTING_ATTEMPTS = 3
STEP_SECONDS = 0.1
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Patience:
    """Seconds. ``agent``: how long a guest's agent is waited for, ``retry``: between two attempts at it. ``unplugged``:
    how long the cable is out; drivers tell nobody of less."""

    agent: float = 20.0
    retry: float = 0.3
    unplugged: float = 1.0


@dataclass(frozen=True)
class ClockSet:
    """How far the guest's clock was from this host's, in seconds (negative: behind), found and left."""

    found: float
    left: float


@contextmanager
def back_in_the_world(machine: RunningMachine) -> Iterator[None]:
    """Serves the guest while the session lives; afterwards nothing more is asked of it, and its cable is in."""
    comeback = Comeback(machine)
    threading.Thread(target=comeback.serve, name="comeback", daemon=True).start()
    try:
        yield
    finally:
        comeback.stop()


class Comeback:
    """The thread's work, step by step, and how another thread ends it."""

    def __init__(self, machine: RunningMachine, patience: Patience = Patience()) -> None:
        self._machine = machine
        self._patience = patience
        self._stopping = threading.Event()
        self._cable = threading.Lock()

    def serve(self) -> None:
        """A guest that was just switched on has read this host's clock by itself; a resumed one must be told."""
        try:
            if self._machine.resumed:
                self.set_clock_first()
                self.replug()
            start_time_service()
            for _step in steps_of_host_clock(self._stopping):
                self.set_clock_again()
        except Exception:
            log.exception("the guest is left as it is")

    def stop(self) -> None:
        """Ends the service at once. Waits for a cable that is out, but never for an agent: QEMU's end frees that."""
        self._stopping.set()
        with self._cable:
            pass

    def set_clock_first(self) -> None:
        """Sets the clock as soon as the agent answers, or says that none does."""
        deadline = time.monotonic() + self._patience.agent
        while not self._stopping.is_set():
            try:
                done = set_clock(self._machine)
                report("guest-clock-set", found_seconds=done.found, left_seconds=done.left)
                return
            except AgentSilent as silent:
                log.debug("guest agent: %s", silent)
            if time.monotonic() > deadline:
                report("guest-agent-absent")
                return
            self._stopping.wait(self._patience.retry)

    def set_clock_again(self) -> None:
        """This host's clock was set: the guest's follows, if it has an agent by now."""
        with suppress(AgentSilent):
            done = set_clock(self._machine)
            report("guest-clock-set", found_seconds=done.found, left_seconds=done.left)

    def replug(self) -> None:
        """Pulls the guest's network cable out and puts it back in."""
        with self._cable, suppress(SoulpadError):  # the machine may be ending
            if self._stopping.is_set():
                return
            self._machine.set_link(up=False)
            try:
                self._stopping.wait(self._patience.unplugged)
            finally:
                self._machine.set_link(up=True)  # before any suspend: a checkpoint would keep it out


def set_clock(machine: RunningMachine) -> ClockSet:
    """Brings the guest's clock to this host's, unless it is right already. Raises AgentSilent.

    What the agent says to the setting is no matter, the clock that it shows then is: it complains where it set the
    clock and could not set the guest's RTC as well.
    """
    found = left = clock_offset(machine)
    for _attempt in range(SETTING_ATTEMPTS):
        if abs(left) <= TOLERATED_SECONDS:
            break
        with suppress(AgentSilent):
            machine.set_guest_clock(time.time())
        left = clock_offset(machine)
    return ClockSet(round(found, 3), round(left, 3))


def clock_offset(machine: RunningMachine) -> float:
    """Seconds that the guest's clock is ahead of this host's, taken half-way between question and answer."""
    asked_at = time.time()
    shown = machine.guest_clock()
    return shown - (asked_at + time.time()) / 2


def steps_of_host_clock(
    stopping: threading.Event,
    since_1970: Callable[[], float] = time.time,
    since_boot: Callable[[], float] = time.monotonic,
    watch_seconds: float = WATCH_SECONDS,
) -> Iterator[float]:
    """Yields by how many seconds this host's clock was set, each time that it is, until ``stopping``.

    A clock that is set moves against the monotonic one; one that is only slewed takes that along.
    """
    known = since_1970() - since_boot()
    while not stopping.wait(watch_seconds):
        difference = since_1970() - since_boot()
        if abs(difference - known) > STEP_SECONDS:
            yield difference - known
            known = difference


def start_time_service() -> None:
    """Has the host ask time servers: only now, because no session waits for the right time."""
    with suppress(SoulpadError):
        run(["systemctl", "start", "--no-block", TIME_SERVICE])
