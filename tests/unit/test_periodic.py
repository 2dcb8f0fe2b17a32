"""Checkpoints beside a session: when they are made, one at a time, and none once it is to end.

The clock stands still until a test moves it. The thread looks at the battery in each of its rounds; a round that was
seen from its beginning to its end is how a test knows that something did not happen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulpad.base.errors import NoSpace
from soulpad.session import periodic
from soulpad.session.battery import Battery
from soulpad.session.periodic import (
    LEAST_INTERVAL_SECONDS,
    MOST_INTERVAL_SECONDS,
    MOST_POSTPONED,
    RETRY_SECONDS,
    SHARE,
    GuestTooBusy,
    PeriodicCheckpoints,
    next_interval,
)

PATIENCE_SECONDS = 60.0  # ends what will never come


class Laboratory:
    """A session with a clock, a battery and a switch, and what was done to it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.battery: Battery | None = None
        self.takes_seconds = 0.0
        self.failure: Exception | None = None
        self.during: Callable[[], None] = lambda: None
        self.made = 0
        self.could_wait: list[bool] = []
        self.ended = 0
        self.together = 0
        self.rounds = threading.Semaphore(0)
        self.making = threading.Semaphore(0)
        self.checkpoints = PeriodicCheckpoints(self.make, self.end, self.read_battery)

    def make(self, can_wait: bool) -> None:
        self.could_wait.append(can_wait)
        self.together += 1
        assert self.together == 1, "two at a time"
        self.during()
        self.now += self.takes_seconds
        self.together -= 1
        self.made += 1
        self.making.release()
        if self.failure:
            raise self.failure

    def end(self) -> None:
        self.ended += 1

    def read_battery(self) -> Battery | None:
        self.rounds.release()
        return self.battery

    def wait_for_a_checkpoint(self) -> None:
        assert self.making.acquire(timeout=PATIENCE_SECONDS)

    def wait_a_round(self) -> None:
        """Until a round that began after this call has ended."""
        while self.rounds.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.rounds.acquire(timeout=PATIENCE_SECONDS)

    def wait_until_it_is_over(self) -> None:
        thread = next((one for one in threading.enumerate() if one.name == "checkpoints"), None)
        if thread:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    made = Laboratory()
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(periodic, "time", SimpleNamespace(monotonic=lambda: made.now))
    yield made
    made.checkpoints.stop()


# --- how often


@given(st.floats(0, 1e6))
def test_the_interval_is_a_share_of_the_time_within_its_limits(took_seconds: float) -> None:
    interval = next_interval(took_seconds)
    assert LEAST_INTERVAL_SECONDS <= interval <= MOST_INTERVAL_SECONDS
    assert took_seconds <= interval * SHARE * 1.0001 or interval == MOST_INTERVAL_SECONDS


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_slower_stick_is_not_asked_more_often(one: float, other: float) -> None:
    assert (one <= other) <= (next_interval(one) <= next_interval(other))


def test_the_first_is_made_after_the_least_interval_and_not_before(laboratory: Laboratory) -> None:
    laboratory.checkpoints.start()
    laboratory.wait_a_round()
    laboratory.now += LEAST_INTERVAL_SECONDS - 1
    laboratory.wait_a_round()
    assert laboratory.made == 0
    laboratory.now += 1
    laboratory.wait_for_a_checkpoint()


def test_after_a_slow_one_the_next_comes_later(laboratory: Laboratory) -> None:
    laboratory.takes_seconds = 60
    laboratory.checkpoints.start()
    laboratory.wait_a_round()
    laboratory.now += LEAST_INTERVAL_SECONDS
    laboratory.wait_for_a_checkpoint()
    laboratory.now += next_interval(60) - 61
    laboratory.wait_a_round()
    assert laboratory.made == 1
    laboratory.now += 61
    laboratory.wait_for_a_checkpoint()


# --- when a person asks


def test_one_for_which_the_guest_is_too_busy_is_tried_again_soon_and_at_last_made(laboratory: Laboratory) -> None:
    laboratory.failure = GuestTooBusy("too busy")
    laboratory.checkpoints.start()
    laboratory.wait_a_round()
    laboratory.now += LEAST_INTERVAL_SECONDS
    laboratory.wait_for_a_checkpoint()
    for _ in range(MOST_POSTPONED):
        laboratory.wait_a_round()
        laboratory.now += RETRY_SECONDS
        laboratory.wait_for_a_checkpoint()
    assert laboratory.could_wait == [True] * MOST_POSTPONED + [False]


def test_one_that_a_person_asks_for_does_not_wait_for_a_calmer_guest(laboratory: Laboratory) -> None:
    laboratory.checkpoints.start()
    laboratory.checkpoints.make_one_now()
    laboratory.wait_for_a_checkpoint()
    assert laboratory.could_wait == [False]


def test_one_that_is_asked_for_is_made_without_waiting(laboratory: Laboratory) -> None:
    laboratory.checkpoints.start()
    laboratory.checkpoints.make_one_now()
    laboratory.wait_for_a_checkpoint()
    laboratory.wait_a_round()
    assert laboratory.made == 1


def test_one_that_is_asked_for_before_the_start_is_not_forgotten(laboratory: Laboratory) -> None:
    laboratory.checkpoints.make_one_now()
    laboratory.checkpoints.start()
    laboratory.wait_for_a_checkpoint()


def test_what_is_asked_for_while_one_is_made_is_made_after_it_once(laboratory: Laboratory) -> None:
    def ask_twice() -> None:
        laboratory.during = lambda: None
        laboratory.checkpoints.make_one_now()
        laboratory.checkpoints.make_one_now()

    laboratory.during = ask_twice
    laboratory.checkpoints.start()
    laboratory.checkpoints.make_one_now()
    laboratory.wait_for_a_checkpoint()
    laboratory.wait_for_a_checkpoint()
    laboratory.wait_a_round()
    assert laboratory.made == 2


@pytest.mark.parametrize("failure", [NoSpace("only 3 MiB are free"), OSError(5, "EIO"), RuntimeError("libvirt's own")])
def test_one_that_fails_is_said_and_the_next_is_made(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    reports: list[tuple[str, object]] = []
    monkeypatch.setattr(periodic, "report", lambda event, **facts: reports.append((event, facts["reason"])))
    laboratory.failure = failure
    laboratory.checkpoints.start()
    for _ in range(2):
        laboratory.checkpoints.make_one_now()
        laboratory.wait_for_a_checkpoint()
        laboratory.wait_a_round()
    assert reports == [("checkpoint-failed", str(failure))] * 2
    assert laboratory.ended == 0


def test_smoothing_that_fails_is_not_said_to_be_the_checkpoints_failure(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_go_on: Callable[[], bool]) -> None:
        raise OSError(28, "No space left on device")

    reports: list[tuple[str, object]] = []
    monkeypatch.setattr(periodic, "report", lambda event, **facts: reports.append((event, facts["reason"])))
    checkpoints = laboratory.checkpoints = PeriodicCheckpoints(
        laboratory.make, laboratory.end, laboratory.read_battery, fail
    )
    checkpoints.start()
    for _ in range(2):
        checkpoints.make_one_now()
        laboratory.wait_for_a_checkpoint()
        laboratory.wait_a_round()
    assert reports == [("smoothing-failed", "[Errno 28] No space left on device")] * 2
    assert (laboratory.made, laboratory.ended) == (2, 0)


# --- the end


def test_stopping_waits_for_the_one_that_is_being_made(laboratory: Laboratory) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    laboratory.during = slow
    laboratory.checkpoints.start()
    laboratory.checkpoints.make_one_now()
    assert begun.wait(PATIENCE_SECONDS)
    threading.Timer(0.01, go_on.set).start()
    laboratory.checkpoints.stop()
    assert laboratory.made == 1


def test_after_the_stop_none_is_made_however_much_is_asked(laboratory: Laboratory) -> None:
    laboratory.checkpoints.start()
    laboratory.wait_a_round()
    laboratory.checkpoints.stop()
    laboratory.checkpoints.make_one_now()
    laboratory.now += 10 * MOST_INTERVAL_SECONDS
    assert laboratory.made == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoints"]


def test_a_checkpoint_may_find_out_that_the_session_is_over(laboratory: Laboratory) -> None:
    laboratory.during = laboratory.checkpoints.stop
    laboratory.checkpoints.start()
    laboratory.checkpoints.make_one_now()
    laboratory.wait_for_a_checkpoint()
    laboratory.wait_until_it_is_over()
    assert laboratory.made == 1


# --- the battery


def test_a_low_battery_is_answered_with_one_checkpoint_and_no_more_until_it_was_charged(laboratory: Laboratory) -> None:
    laboratory.checkpoints.start()
    laboratory.battery = Battery(10, discharging=True)
    laboratory.wait_for_a_checkpoint()
    laboratory.battery = Battery(9, discharging=True)
    laboratory.wait_a_round()
    assert laboratory.made == 1
    laboratory.battery = Battery(9, discharging=False)
    laboratory.wait_a_round()
    laboratory.battery = Battery(9, discharging=True)
    laboratory.wait_for_a_checkpoint()
    assert laboratory.ended == 0


@pytest.mark.parametrize("battery", [None, Battery(11, True), Battery(3, False), Battery(0, False)])
def test_a_battery_that_is_full_enough_charged_or_not_there_asks_for_nothing(
    laboratory: Laboratory, battery: Battery | None
) -> None:
    laboratory.battery = battery
    laboratory.checkpoints.start()
    laboratory.wait_a_round()
    assert (laboratory.made, laboratory.ended) == (0, 0)


def test_a_battery_that_is_nearly_empty_ends_the_session_once(laboratory: Laboratory) -> None:
    laboratory.battery = Battery(4, discharging=True)
    laboratory.checkpoints.start()
    laboratory.wait_until_it_is_over()
    assert (laboratory.made, laboratory.ended) == (0, 1)


def test_a_session_that_ends_for_its_battery_waits_for_no_checkpoint_that_was_due(laboratory: Laboratory) -> None:
    laboratory.battery = Battery(4, discharging=True)
    laboratory.checkpoints.make_one_now()
    laboratory.checkpoints.start()
    laboratory.wait_until_it_is_over()
    assert (laboratory.made, laboratory.ended) == (0, 1)
