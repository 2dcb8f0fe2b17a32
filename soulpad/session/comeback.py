"""Coming back to the world: what a resumed guest cannot know is told to it while its session already runs.

A suspended guest's clock stands, and the network it knew is gone. One thread beside the session pulls the network cable
out for a moment, which makes DHCP clients renew and programs connect again; another meanwhile sets the clock through
QEMU's guest agent, where the guest has one. Then it follows the clock of this host, which shows what the PC's RTC says
until a time server was reached. All of it is a service to the guest: nothing here delays, blocks or fails a session.
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
    """Seconds. ``agent``: how long a guest's agent is waited for (on a slow PC it has much to read first), ``retry``:
    between two attempts at it. ``unplugged``: how long the cable is out; drivers tell nobody of less."""

    agent: float = 90.0
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
    for task in (comeback.replug, comeback.keep_time):
        threading.Thread(target=unharmed, args=(task,), name=task.__name__, daemon=True).start()
    try:
        yield
    finally:
        comeback.stop()


def unharmed(task: Callable[[], None]) -> None:
    """Does a task whose bugs are no reason to end a session."""
    try:
        task()
    except Exception:
        log.exception("the guest is left as it is")


class Comeback:
    """The threads' work, and how a third one ends it. A guest that was just switched on needs none of what a resumed
    one is told: it has read this host's clock by itself."""

    def __init__(self, machine: RunningMachine, patience: Patience = Patience()) -> None:
        self._machine = machine
        self._patience = patience
        self._stopping = threading.Event()
        self._cable = threading.Lock()

    def keep_time(self) -> None:
        """The guest's clock is this host's, from the resume to the end of the session."""
        known = beyond_boot_seconds()  # before the guest's is first set: from then on no step goes unnoticed
        if self._machine.resumed:
            self.set_clock_first()
        start_time_service()
        for _step in steps_of_host_clock(self._stopping, known):
            self.set_clock_again()

    def replug(self) -> None:
        """Pulls a resumed guest's network cable out and puts it back in. At once: a person who already works would
        lose new connections by it."""
        with self._cable, suppress(SoulpadError):  # the machine may be ending
            if self._stopping.is_set() or not self._machine.resumed:
                return
            self._machine.set_link(up=False)
            try:
                self._stopping.wait(self._patience.unplugged)
            finally:
                self._machine.set_link(up=True)  # before any suspend: a checkpoint would keep it out

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


def beyond_boot_seconds() -> float:
    """What this host's clock is ahead of its monotonic one. It changes when the clock is set, not when it is slewed,
    which the monotonic one follows."""
    return time.time() - time.monotonic()


def steps_of_host_clock(
    stopping: threading.Event,
    known: float,
    measured: Callable[[], float] = beyond_boot_seconds,
    watch_seconds: float = WATCH_SECONDS,
) -> Iterator[float]:
    """Yields by how many seconds this host's clock was set since it was ``known`` ahead, each time that it is, until
    ``stopping``."""
    while not stopping.wait(watch_seconds):
        now = measured()
        if abs(now - known) > STEP_SECONDS:
            yield now - known
            known = now


def start_time_service() -> None:
    """Has the host ask time servers: only now, because no session waits for the right time."""
    with suppress(SoulpadError):
        run(["systemctl", "start", "--no-block", TIME_SERVICE])
