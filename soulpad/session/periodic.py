"""Checkpoints beside the running session: every few minutes, when a person asks for one, and when the battery is low.

The interval follows the stick: at most SHARE of the time goes to them and to the tidying after each. One runs at a
time, and none once the session is to end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from soulpad.base.errors import SoulpadError
from soulpad.session.battery import Battery, read_battery
from soulpad.session.report import report

log = logging.getLogger("soulpad.session")

LEAST_INTERVAL_SECONDS = 180.0
MOST_INTERVAL_SECONDS = 1800.0
SHARE = 0.05
LOOK_SECONDS = 10.0
RETRY_SECONDS = 60.0
MOST_POSTPONED = 5
BATTERY_LOW_PERCENT = 10
BATTERY_EMPTY_PERCENT = 4


class GuestTooBusy(SoulpadError):
    """The guest changes more than the stick can take: a checkpoint now would have it stand still for seconds."""


def next_interval(took_seconds: float) -> float:
    """Seconds until the next checkpoint, after one that took so long: a slow stick is left alone for longer."""
    return min(MOST_INTERVAL_SECONDS, max(LEAST_INTERVAL_SECONDS, took_seconds / SHARE))


class PeriodicCheckpoints:
    """``make`` makes one checkpoint, and may raise GuestTooBusy where its argument says that it can wait;
    ``end_session`` asks for the suspend (the battery is nearly empty); ``tidy`` is
    called after each checkpoint, and asks its argument now and then whether to go on. All are called in a thread of its
    own, between ``start`` and ``stop``."""

    def __init__(
        self,
        make: Callable[[bool], None],
        end_session: Callable[[], None],
        battery: Callable[[], Battery | None] = read_battery,
        tidy: Callable[[Callable[[], bool]], object] = lambda go_on: None,
    ) -> None:
        self._make = make
        self._end_session = end_session
        self._battery = battery
        self._tidy = tidy
        self._wake = threading.Event()
        self._asked = False
        self._ending = False
        self._warned = False
        self._postponed = 0
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begins; the first checkpoint is made after the least interval."""
        self._thread.start()

    def make_one_now(self) -> None:
        """Asks for a checkpoint without waiting for the interval; returns at once."""
        self._asked = True
        self._wake.set()

    def stop(self) -> None:
        """No more checkpoints; waits for one that is being made."""
        self._ending = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + LEAST_INTERVAL_SECONDS
        while not self._ending:
            self._wake.wait(min(LOOK_SECONDS, max(0.0, due - time.monotonic())))
            self._wake.clear()
            if self._ending:
                return
            self._look_at_battery()
            if self._ending:  # a checkpoint now would only keep the suspend waiting
                return
            if self._asked or time.monotonic() >= due:
                can_wait = not self._asked and self._postponed < MOST_POSTPONED
                self._asked = False
                due = time.monotonic() + self._make_one(can_wait)

    def _make_one(self, can_wait: bool) -> float:
        """Seconds until the next. No failure, of whatever kind, ends the session or the watch on the battery."""
        began = time.monotonic()
        try:
            self._make(can_wait)
        except GuestTooBusy:
            self._postponed += 1
            report("checkpoint-postponed", times=self._postponed)
            return RETRY_SECONDS
        except Exception as error:
            log.warning("no checkpoint could be made: %s", error)
            report("checkpoint-failed", reason=str(error))
        else:
            self._postponed = 0
            self._tidy_up()
        return next_interval(time.monotonic() - began)

    def _tidy_up(self) -> None:
        try:
            self._tidy(lambda: not self._ending)
        except Exception as error:
            log.warning("the files of the session could not be smoothed: %s", error)
            report("smoothing-failed", reason=str(error))

    def _look_at_battery(self) -> None:
        state = self._battery()
        if state is None or not state.discharging or state.percent > BATTERY_LOW_PERCENT:
            self._warned = False
        elif state.percent <= BATTERY_EMPTY_PERCENT:
            report("battery-empty", percent=state.percent)
            self._ending = True
            self._end_session()
        elif not self._warned:
            self._warned = self._asked = True
            report("battery-low", percent=state.percent)
