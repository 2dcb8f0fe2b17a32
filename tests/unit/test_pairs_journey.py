"""Of tests.pairs: a session's journey, what is kept of it, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from builder.guest.recipe import read_guest_recipe
from builder.pc.profile import find_profile, known_profiles
from builder.pc.running import GuestPanicked
from builder.places import ROOT
from soulpad.base.errors import EmulatedPcFailed
from tests.pairs import journey
from tests.pairs.lab import GUEST, Lab
from tests.pairs.plan import (
    Expectation,
    Journey,
    Outcome,
    Session,
    Trip,
    expectation,
    sessions,
    trips,
)
from tests.pairs.report import Result, cell, markdown, report_of
from tests.pairs.seen import Seen, Soul, Suspended
from tests.pairs.stays import PATTERN_MIB

PCS = known_profiles()
OF_ANY = Session("old-desktop", "any-pc")
BEFORE = Suspended(3, Soul("boot", 40, 5))


def every_trip() -> list[Trip]:
    return [trip for session in sessions(PCS) for trip in trips(session, PCS)]


# --- a journey


@dataclass
class Road:
    """PCs that are not there: what was done at them, and what happens where."""

    done: list[str] = field(default_factory=list)
    trouble: dict[str, BaseException] = field(default_factory=dict)

    def suspend_at(self, source: str, stick: Path, folder: Path) -> Suspended:
        self.meet(f"begin at {source}")
        return BEFORE

    def visit(self, target: str, stick: Path, folder: Path, expected: Expectation, suspended: Suspended) -> Seen:
        self.meet(f"visit {target}")
        soul = Soul(BEFORE.soul.boot_id, BEFORE.soul.counter + 9, BEFORE.soul.passes + 2)
        return Seen(Outcome.RESUMED, (), 0, BEFORE.generation, soul=soul, answer="16 MiB are as they were")

    def meet(self, what: str) -> None:
        self.done.append(what)
        if what in self.trouble:
            raise self.trouble[what]

    @staticmethod
    def overlay(of: Path, image: Path) -> Path:
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
        return image


@pytest.fixture
def road(monkeypatch: pytest.MonkeyPatch) -> Road:
    made = Road()
    for name in ("suspend_at", "visit", "overlay"):
        monkeypatch.setattr(journey, name, getattr(made, name))
    return made


TO_TWO = Journey(OF_ANY, (Trip(OF_ANY, "netbook"), Trip(OF_ANY, "old-laptop")))


def follow(lab: Lab, *, again: bool = False, keep: bool = False) -> list[Result]:
    return journey.follow(lab, TO_TWO, again=again, keep=keep)


def test_a_session_is_begun_once_and_goes_to_each_pc_and_its_sticks_are_removed(tmp_path: Path, road: Road) -> None:
    results = follow(Lab(tmp_path))
    assert road.done == ["begin at old-desktop", "visit netbook", "visit old-laptop"]
    assert [result.trip for result in results] == list(TO_TWO.trips)
    assert not any(result.problems for result in results)
    assert not list(tmp_path.rglob("*.qcow2"))


def test_a_journey_that_was_broken_off_goes_on_where_it_was(tmp_path: Path, road: Road) -> None:
    road.trouble["visit old-laptop"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        follow(Lab(tmp_path))
    road.done.clear()
    road.trouble.clear()
    assert len(follow(Lab(tmp_path))) == 2
    assert road.done == ["visit old-laptop"]


def test_a_journey_that_is_done_is_made_once_more_only_when_that_is_asked(tmp_path: Path, road: Road) -> None:
    follow(Lab(tmp_path), keep=True)
    road.done.clear()
    assert len(follow(Lab(tmp_path))) == 2
    assert road.done == []
    follow(Lab(tmp_path), again=True)
    assert road.done == ["visit netbook", "visit old-laptop"]


def test_a_trip_that_fails_leaves_its_stick_and_the_others_go_on(tmp_path: Path, road: Road) -> None:
    road.trouble["visit netbook"] = EmulatedPcFailed("the PC netbook went off")
    failed, well = follow(Lab(tmp_path))
    assert failed.problems == ("the PC netbook went off",)
    assert not well.problems
    left = {path.parent.name for path in tmp_path.rglob("*.qcow2")}
    assert left == {"old-desktop-any-pc-to-netbook", "old-desktop-any-pc"}


def test_a_session_that_never_came_to_be_fails_all_its_trips(tmp_path: Path, road: Road) -> None:
    road.trouble["begin at old-desktop"] = EmulatedPcFailed("the PC old-desktop went off")
    assert all("never suspended" in result.problems[0] for result in follow(Lab(tmp_path)))
    assert road.done == ["begin at old-desktop"]


# --- how it is kept and told


def test_a_result_that_was_kept_is_read_as_it_was_and_a_failure_is_tried_again(tmp_path: Path) -> None:
    lab, trip = Lab(tmp_path), Trip(OF_ANY, "netbook")
    good = Result(trip, Outcome.REFUSED, "virtualisation", (), "panicked")
    lab.trip(trip).mkdir(parents=True)
    assert lab.result(trip) is None
    lab.keep_result(good)
    assert lab.result(trip) == good
    lab.keep_result(replace(good, problems=("it was booted anew",)))
    assert lab.result(trip) is None


def test_a_session_counts_as_suspended_when_that_is_said(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.session(OF_ANY).mkdir(parents=True)
    assert lab.suspended(OF_ANY) is None
    lab.keep_suspended(OF_ANY, BEFORE)
    assert lab.suspended(OF_ANY) == BEFORE


def test_a_panic_of_the_emulator_is_tried_once_more_and_told() -> None:
    attempts: list[Callable[[], str]] = [panic, lambda: "done"]
    assert journey.with_a_retry(lambda: attempts.pop(0)()) == ("done", "no")
    with pytest.raises(GuestPanicked):
        journey.with_a_retry(panic)


def panic() -> str:
    raise GuestPanicked("no")


def test_the_tables_have_every_pair_and_say_what_is_missing() -> None:
    results = [Result(trip, *outcome_of(trip)) for trip in every_trip()]
    text = markdown(PCS, results)
    assert "?" not in text and "failed" not in text
    assert "refuses: processor" in text and "refuses: virtualisation" in text
    assert "| ? |" in markdown(PCS, results[1:])


def outcome_of(trip: Trip) -> tuple[Outcome, str | None]:
    expected = expectation(trip.session, find_profile(trip.target))
    return expected.outcome, expected.finding


def test_what_failed_is_said_and_counted() -> None:
    result = Result(Trip(OF_ANY, "netbook"), Outcome.RESUMED, None, ("the guest was booted anew",))
    assert "failed" in cell(result)
    assert report_of([result])["problems"] == ["old-desktop-any-pc to netbook: the guest was booted anew"]
    assert report_of([result])["trips"] == [asdict(result)]


def test_the_guest_holds_the_pattern_that_is_waited_for() -> None:
    assert dict(read_guest_recipe(GUEST).settings)["pattern_mib"] == str(PATTERN_MIB)


# --- the page


def test_the_page_has_the_tables_of_the_pcs_that_there_are() -> None:
    results = [Result(trip, *outcome_of(trip)) for trip in every_trip()]
    assert markdown(PCS, results) in (ROOT / "docs/pairs.md").read_text()
