"""Coming back to the world: the guest's clock and cable after a resume, beside the session and never in its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from builder.places import ROOT
from soulpad.base.errors import CannotResume
from tests.unit.stand_ins import load

PATIENT_SECONDS = 30  # only ends what will never come


class FakeGuest:
    """A machine whose guest has an agent, unless told otherwise. ``behind``: by how many seconds its clock is.
    ``silent_for``: how many questions the agent leaves unanswered at first."""

    def __init__(self, silent: type[Exception], behind: float = 0.0, silent_for: float = 0) -> None:
        self.resumed = True
        self.behind = behind
        self.silent_for = silent_for
        self.has_hwclock = True
        self.takes_clock = True
        self.links: list[bool] = []
        self.failing_link: Exception | None = None
        self.asked = threading.Event()
        self.unplugged = threading.Event()
        self._silent = silent

    def guest_clock(self) -> float:
        self.asked.set()
        if self.silent_for > 0:
            self.silent_for -= 1
            raise self._silent("not connected")
        return time.time() - self.behind

    def set_guest_clock(self, seconds: float) -> None:
        if self.takes_clock:
            self.behind = time.time() - seconds
        if not self.has_hwclock:
            raise self._silent("failed to exec hwclock")

    def set_link(self, up: bool) -> None:
        if self.failing_link:
            raise self.failing_link
        self.links.append(up)
        if not up:
            self.unplugged.set()


@pytest.fixture(scope="module")
def comeback() -> Any:
    """The module under test; the fake guest takes the place of all that libvirt does."""
    return load("soulpad.session.comeback")


@pytest.fixture(autouse=True)
def reports(comeback: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, float]]]:
    """What was reported; nothing is started on this machine."""
    seen: list[tuple[str, dict[str, float]]] = []
    monkeypatch.setattr(comeback, "report", lambda event, **facts: seen.append((event, facts)))
    monkeypatch.setattr(comeback, "run", lambda _argv: None)
    return seen


def serving(comeback: Any, guest: FakeGuest, **patience: float) -> Any:
    return comeback.Comeback(guest, comeback.Patience(**({"agent": 0.0, "retry": 0.001, "unplugged": 0.01} | patience)))


def serve_until(comeback: Any, service: Any, done: Any) -> None:
    """Keeps time in a thread until ``done()``, then stops it and waits for its end."""
    thread = threading.Thread(target=service.keep_time, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENT_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(0.002)
    service.stop()
    thread.join(PATIENT_SECONDS)
    assert done() and not thread.is_alive()


def test_a_clock_that_stood_for_a_day_is_set_to_the_hosts(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=86400)
    done = comeback.set_clock(guest)
    assert done.found == pytest.approx(-86400, abs=PATIENT_SECONDS)
    assert abs(done.left) < 1 and abs(guest.behind) < 1


def test_a_clock_that_was_ahead_is_set_back(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=-3600)
    assert comeback.set_clock(guest).found == pytest.approx(3600, abs=PATIENT_SECONDS)
    assert abs(guest.behind) < 1


def test_a_clock_that_is_right_is_left_alone(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent)
    guest.takes_clock = False
    assert comeback.set_clock(guest).found == pytest.approx(0, abs=comeback.TOLERATED_SECONDS)


def test_a_guest_without_hwclock_gets_its_clock_set_all_the_same(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=7200)
    guest.has_hwclock = False
    assert abs(comeback.set_clock(guest).left) < 1


def test_a_guest_that_refuses_is_asked_a_few_times_and_the_rest_is_said(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=500)
    guest.takes_clock = False
    done = comeback.set_clock(guest)
    assert done.left == pytest.approx(done.found, abs=PATIENT_SECONDS)


def test_the_offset_is_taken_half_way_between_question_and_answer(
    comeback: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([1000.0, 1004.0])
    monkeypatch.setattr(comeback.time, "time", lambda: next(moments))
    guest = FakeGuest(comeback.AgentSilent)
    monkeypatch.setattr(guest, "guest_clock", lambda: 1002.5)
    assert comeback.clock_offset(guest) == 0.5


def test_after_a_resume_the_clock_is_set_and_the_cable_goes_out_and_in(
    comeback: Any, reports: list[tuple[str, dict[str, float]]]
) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=100)
    with comeback.back_in_the_world(guest):
        assert guest.unplugged.wait(PATIENT_SECONDS)
        deadline = time.monotonic() + PATIENT_SECONDS
        while not reports and time.monotonic() < deadline:
            time.sleep(0.002)
    assert guest.links == [False, True]
    [(event, facts)] = reports
    assert event == "guest-clock-set"
    assert facts["found_seconds"] < -99 and abs(facts["left_seconds"]) < 1


def test_the_cable_does_not_wait_for_an_agent(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent, silent_for=float("inf"))
    serving(comeback, guest).replug()
    assert guest.links == [False, True] and not guest.asked.is_set()


def test_an_agent_that_comes_late_is_waited_for(comeback: Any, reports: list[tuple[str, dict[str, float]]]) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=100, silent_for=20)
    serve_until(comeback, serving(comeback, guest, agent=PATIENT_SECONDS), lambda: reports)
    assert [event for event, _ in reports] == ["guest-clock-set"]


def test_a_guest_without_an_agent_is_said_once(
    comeback: Any, reports: list[tuple[str, dict[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = FakeGuest(comeback.AgentSilent, silent_for=float("inf"))
    monkeypatch.setattr(comeback, "steps_of_host_clock", lambda _stopping, _known: iter([3600.0, -3600.0]))
    serving(comeback, guest).keep_time()
    assert reports == [("guest-agent-absent", {})]


def test_a_guest_that_was_switched_on_is_told_nothing_until_the_hosts_clock_is_set(
    comeback: Any, reports: list[tuple[str, dict[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = FakeGuest(comeback.AgentSilent, behind=100)
    guest.resumed = False
    service = serving(comeback, guest)
    monkeypatch.setattr(comeback, "steps_of_host_clock", lambda _stopping, _known: iter([]))
    service.keep_time()
    service.replug()
    assert guest.links == [] and reports == [] and not guest.asked.is_set()
    monkeypatch.setattr(comeback, "steps_of_host_clock", lambda _stopping, _known: iter([100.0]))
    service.keep_time()
    assert abs(guest.behind) < 1


def test_a_suspend_does_not_wait_for_an_agent_that_hangs(comeback: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = FakeGuest(comeback.AgentSilent)
    answers = threading.Event()

    def hang() -> float:
        guest.asked.set()
        answers.wait(PATIENT_SECONDS)
        raise comeback.AgentSilent("QEMU has ended")

    monkeypatch.setattr(guest, "guest_clock", hang)
    with comeback.back_in_the_world(guest):
        assert guest.asked.wait(PATIENT_SECONDS)
    assert not answers.is_set(), "the session's end went past the question"
    answers.set()


def test_after_the_session_nothing_more_is_done_or_said(
    comeback: Any, reports: list[tuple[str, dict[str, float]]]
) -> None:
    guest = FakeGuest(comeback.AgentSilent, silent_for=float("inf"))
    service = serving(comeback, guest, agent=PATIENT_SECONDS)
    serve_until(comeback, service, guest.asked.is_set)
    service.replug()
    assert reports == [] and guest.links == []


def test_a_suspend_that_comes_while_the_cable_is_out_finds_it_in(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent)
    service = serving(comeback, guest, unplugged=PATIENT_SECONDS)
    thread = threading.Thread(target=service.replug, daemon=True)
    began = time.monotonic()
    thread.start()
    assert guest.unplugged.wait(PATIENT_SECONDS)
    service.stop()
    assert guest.links == [False, True] and time.monotonic() - began < PATIENT_SECONDS
    thread.join(PATIENT_SECONDS)


def test_a_machine_that_ends_while_its_cable_is_out_is_no_failure(comeback: Any) -> None:
    guest = FakeGuest(comeback.AgentSilent)
    guest.failing_link = CannotResume("QEMU ended at set_link")
    serving(comeback, guest).replug()


def test_a_bug_in_a_task_fails_no_session(comeback: Any, caplog: pytest.LogCaptureFixture) -> None:
    guest = FakeGuest(comeback.AgentSilent)
    guest.failing_link = RuntimeError("a bug")
    comeback.unharmed(serving(comeback, guest).replug)
    assert "a bug" in caplog.text


def test_a_host_clock_that_was_set_is_noticed_and_one_that_wavers_is_not(comeback: Any) -> None:
    stopping = threading.Event()
    seen = [100.0, 100.05, 3700.05, 3700.0, 3699.98, -50.0]

    def measured() -> float:
        if len(seen) == 1:
            stopping.set()
        return seen.pop(0)

    steps = comeback.steps_of_host_clock(stopping, 100.0, measured, 0.0)
    assert list(steps) == [pytest.approx(3600.05), pytest.approx(-3750.05)]


def test_a_step_from_before_the_watching_began_is_noticed_too(comeback: Any) -> None:
    steps = comeback.steps_of_host_clock(threading.Event(), 100.0, lambda: 3700.0, 0.0)
    assert next(steps) == 3600.0


def test_the_hosts_time_service_is_there_and_leaves_the_pcs_own_clock_alone(comeback: Any) -> None:
    packages = (ROOT / "hostos/elements/live-host/package-installs.yaml").read_text().splitlines()
    assert f"{comeback.TIME_SERVICE.removesuffix('.service')}:" in packages
    # hwclock(8): the third line says what the RTC shows. UTC there, or no such file, lets the kernel write it.
    assert (ROOT / "hostos/rootfs/etc/adjtime").read_text().splitlines()[2] == "LOCAL"


def test_when_the_hosts_clock_is_set_the_guests_follows(
    comeback: Any, reports: list[tuple[str, dict[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = FakeGuest(comeback.AgentSilent)

    def one_step(_stopping: threading.Event, _known: float) -> Iterator[float]:
        guest.behind = 3600
        yield 3600.0

    monkeypatch.setattr(comeback, "steps_of_host_clock", one_step)
    serving(comeback, guest).keep_time()
    assert [event for event, _ in reports] == ["guest-clock-set", "guest-clock-set"]
    assert reports[1][1]["found_seconds"] < -3500 and abs(guest.behind) < 1
