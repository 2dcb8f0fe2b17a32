"""One session's journey: begun and suspended at its PC, then taken to each of the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TypeVar

from builder.pc.profile import find_profile
from builder.pc.running import GuestPanicked
from soulpad.base.errors import SoulpadError
from soulpad.cli.output import people
from tests.pairs.lab import Lab
from tests.pairs.plan import Journey, Session, Trip, expectation
from tests.pairs.report import Result
from tests.pairs.seen import Seen, Suspended, problems
from tests.pairs.stays import overlay, suspend_at, visit

Done = TypeVar("Done")


def follow(lab: Lab, journey: Journey, *, again: bool, keep: bool) -> list[Result]:
    """The results of all its trips; those that are there are not made once more, unless ``again``."""
    session = journey.session
    kept = {} if again else {trip: result for trip in journey.trips if (result := lab.result(trip))}
    left = [trip for trip in journey.trips if trip not in kept]
    if not left:
        return list(kept.values())
    try:
        suspended = lab.suspended(session) or begin(lab, session)
    except SoulpadError as error:
        return [*kept.values(), *(failed(trip, f"the session was never suspended: {error.message}") for trip in left)]
    made = {trip: travel(lab, trip, suspended, keep=keep) for trip in left}
    if not keep and not any(result.problems for result in made.values()):
        shutil.rmtree(lab.session(session))
    return [(kept | made)[trip] for trip in journey.trips]


def begin(lab: Lab, session: Session) -> Suspended:
    """Begins the session at its PC and suspends it there. Raises SoulpadError."""
    folder = lab.session(session)

    def attempt() -> Suspended:
        stick = overlay(lab.stick(session.cpu_class), folder / "stick.qcow2")
        return suspend_at(session.source, stick, folder / "pc")

    people.print(f"  {session.name}: is begun")
    suspended, _ = with_a_retry(attempt)
    lab.keep_suspended(session, suspended)
    return suspended


def travel(lab: Lab, trip: Trip, suspended: Suspended, *, keep: bool) -> Result:
    """Takes the suspended session to a PC. Its stick stays only where something went wrong, or ``keep``."""
    folder = lab.trip(trip)
    expected = expectation(trip.session, find_profile(trip.target))
    stick = folder / "stick.qcow2"

    def attempt() -> Seen:
        return visit(
            trip.target, overlay(lab.session(trip.session) / "stick.qcow2", stick), folder, expected, suspended
        )

    try:
        seen, panic = with_a_retry(attempt)
        found = tuple(problems(expected, suspended, seen))
        result = Result(trip, seen.outcome, expected.finding, found, panic)
    except SoulpadError as error:
        result = failed(trip, error.message)
    lab.keep_result(result)
    if not keep and not result.problems:
        stick.unlink()
    people.print(f"  {trip.session.name} to {trip.target}: {'FAILED' if result.problems else result.outcome}")
    return result


def failed(trip: Trip, problem: str) -> Result:
    """What had to come did not."""
    expected = expectation(trip.session, find_profile(trip.target))
    return Result(trip, expected.outcome, expected.finding, (problem,))


def with_a_retry(attempt: Callable[[], Done]) -> tuple[Done, str]:
    """What the attempt gives, and why it was a second one: where a kernel panics it was the emulator
    (docs/decisions/0005-emulator.md), and the result says so. Raises SoulpadError."""
    try:
        return attempt(), ""
    except GuestPanicked as panic:
        return attempt(), panic.message
