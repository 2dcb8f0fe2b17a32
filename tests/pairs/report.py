"""The results of all trips, for machines and as the tables of docs/pairs.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from builder.pc.profile import PcProfile
from tests.pairs.plan import Outcome, Session, Trip, highest_class, sessions

SAME_PC = "·"
NOT_MADE = "?"
WORDS = {Outcome.RESUMED: "resumes", Outcome.REFUSED: "refuses"}


@dataclass(frozen=True)
class Result:
    """What came of a trip. ``outcome``: as it must be, when there are no ``problems``. ``begun_anew_because``: the
    emulator failed, and this was the second attempt."""

    trip: Trip
    outcome: Outcome
    finding: str | None = None
    problems: tuple[str, ...] = ()
    begun_anew_because: str = ""

    def encode(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def decode(cls, text: str) -> Result:
        fields = json.loads(text)
        trip = Trip(Session(**fields["trip"]["session"]), fields["trip"]["target"])
        return cls(
            trip,
            Outcome(fields["outcome"]),
            fields["finding"],
            tuple(fields["problems"]),
            fields["begun_anew_because"],
        )


def report_of(results: Sequence[Result]) -> dict[str, Any]:
    """All results, and a sentence for each thing that is not as it must be."""
    problems = [
        f"{result.trip.session.name} to {result.trip.target}: {problem}"
        for result in results
        for problem in result.problems
    ]
    return {"trips": [asdict(result) for result in results], "problems": problems}


def markdown(pcs: Sequence[PcProfile], results: Sequence[Result]) -> str:
    """The PCs, then a table for each CPU class: from which PC to which, and what came of it."""
    by_trip = {result.trip: result for result in results}
    parts = [table(PC_HEADS, (pc_row(profile) for profile in pcs))]
    begun = sessions(pcs)
    for cpu_class in dict.fromkeys(session.cpu_class for session in begun):
        own = [session for session in begun if session.cpu_class == cpu_class]
        heads = ["from \\ to", *(f"`{profile.name}`" for profile in pcs)]
        rows = ([f"`{session.source}`", *cells(session, pcs, by_trip)] for session in own)
        parts += [f"Sessions of the CPU class `{cpu_class}`:", table(heads, rows)]
    return "\n\n".join(parts) + "\n"


def cells(session: Session, pcs: Iterable[PcProfile], results: dict[Trip, Result]) -> Iterator[str]:
    """A session's row."""
    for profile in pcs:
        result = results.get(Trip(session, profile.name))
        yield SAME_PC if profile.name == session.source else cell(result) if result else NOT_MADE


def cell(result: Result) -> str:
    """What came of a trip, in two words."""
    if result.problems:
        return "**failed**"
    return WORDS[result.outcome] + (f": {result.finding}" if result.outcome is not Outcome.RESUMED else "")


PC_HEADS = ("PC", "processor", "highest CPU class", "memory", "firmware", "USB", "graphics", "network")


def pc_row(profile: PcProfile) -> list[str]:
    """What matters of a PC here."""
    highest = highest_class(profile)
    return [
        f"`{profile.name}`",
        f"`{profile.cpu.split(',')[0]}`" + ("" if profile.virtualisation else " without virtualisation"),
        highest.name if highest else "none",
        f"{profile.memory_mib} MiB",
        profile.firmware.value,
        profile.usb.value,
        profile.display.value,
        profile.nic.value,
    ]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    ruler = "|" + "---|" * len(heads)
    return "\n".join([f"| {' | '.join(heads)} |", ruler, *(f"| {' | '.join(row)} |" for row in rows)])
