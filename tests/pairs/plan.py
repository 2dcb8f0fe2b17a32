"""Which sessions go to which PCs, and what must come of it: decided from the PCs' profiles alone, before anything runs.

A session belongs to a PC and a CPU class: each PC that can run parcels begins one of the lowest class, and one of the
highest class that it can run. Each of them goes to every other PC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from builder.pc.profile import Display, PcProfile
from soulpad.base.errors import BadInput
from soulpad.store.cpuclass import ANY_PC, CLASSES, CpuClass, best_class, class_named

MOST_FLAGS_NAMED = 4  # of those that a processor lacks, the prompt names the first

# What QEMU's processors have of the flags that the classes ask for (QEMU, docs/system/cpu-models-x86).
_ANY_PC, _V3 = ANY_PC.flags, CLASSES[-1].flags
PROCESSORS = {
    "Opteron_G3": _ANY_PC - {"ssse3", "sse4_1", "sse4_2"} | {"abm", "rdtscp"},
    "Nehalem": _ANY_PC,
    "Haswell": _V3,
    "EPYC": _V3,
    "EPYC-Milan": _V3,
}


class Outcome(StrEnum):
    """What comes of a session at a PC. Nothing is changed where it is refused."""

    RESUMED = "resumed"
    REFUSED = "refused at the prompt"


@dataclass(frozen=True)
class Session:
    """A session that is begun and suspended at the PC ``source``, in a parcel of a CPU class, by its name."""

    source: str
    cpu_class: str

    @property
    def name(self) -> str:
        return f"{self.source}-{self.cpu_class}"


@dataclass(frozen=True)
class Trip:
    """A session that goes to the PC ``target``."""

    session: Session
    target: str


@dataclass(frozen=True)
class Journey:
    """A session and where it goes."""

    session: Session
    trips: tuple[Trip, ...]


@dataclass(frozen=True)
class Expectation:
    """``finding``: the kind of what the prompt says, and ``words`` that must be in it; or None, when it must say
    nothing. ``picture``: whether the session's screen must be seen."""

    outcome: Outcome
    finding: str | None = None
    words: tuple[str, ...] = ()
    picture: bool = False


def sessions(pcs: Sequence[PcProfile]) -> list[Session]:
    """All sessions that these PCs can begin: those of the lowest class come first, because they tell most."""
    begun = [(profile, highest_class(profile)) for profile in pcs]
    able = [(profile, highest) for profile, highest in begun if highest]
    return [
        *(Session(profile.name, ANY_PC.name) for profile, _ in able),
        *(Session(profile.name, highest.name) for profile, highest in able if highest != ANY_PC),
    ]


def trips(session: Session, pcs: Sequence[PcProfile]) -> list[Trip]:
    """To every other PC."""
    return [Trip(session, profile.name) for profile in pcs if profile.name != session.source]


def journeys(planned: Sequence[Trip]) -> list[Journey]:
    """The trips, session by session."""
    begun = dict.fromkeys(trip.session for trip in planned)
    return [Journey(session, tuple(trip for trip in planned if trip.session == session)) for session in begun]


def highest_class(profile: PcProfile) -> CpuClass | None:
    """The highest CPU class whose sessions the PC can begin; None without virtualisation or below all classes."""
    return best_class(flags_of(profile)) if profile.virtualisation else None


def flags_of(profile: PcProfile) -> frozenset[str]:
    """What the PC's processor has of the flags that the classes ask for; raises BadInput for one nobody described."""
    model = profile.cpu.split(",", 1)[0]
    if model not in PROCESSORS:
        raise BadInput(
            f"the PC {profile.name} has a processor {model}, of which it is not known what it has",
            "say it in tests/pairs/plan.py, PROCESSORS",
        )
    return frozenset(PROCESSORS[model])


def expectation(session: Session, target: PcProfile) -> Expectation:
    """What must come of the session at that PC."""
    missing = sorted(class_named(session.cpu_class).flags - flags_of(target))
    if not target.virtualisation:
        return Expectation(Outcome.REFUSED, "virtualisation", ("cannot resume the session",))
    if missing:
        return Expectation(Outcome.REFUSED, "processor", tuple(missing[:MOST_FLAGS_NAMED]))
    return Expectation(Outcome.RESUMED, picture=shows_sessions(target))


def shows_sessions(profile: PcProfile) -> bool:
    """Whether a session's screen is seen at a PC: not without a graphics card that a kernel driver knows."""
    return profile.display is not Display.RAMFB


def chosen(every: Collection[Trip], only: Sequence[str]) -> Iterator[Trip]:
    """Those of the trips that ``only`` names as SOURCE:TARGET, in which a name may be ``*``; raises BadInput for one
    that is none of them."""
    for pair in only:
        source, _, target = pair.partition(":")
        matching = [trip for trip in every if source in ("*", trip.session.source) and target in ("*", trip.target)]
        if not matching:
            raise BadInput(f"{pair!r} is no pair of PCs", "write it as SOURCE:TARGET; * stands for every PC")
        yield from matching
