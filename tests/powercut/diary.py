"""What happened in the scenario, and when: all that a judge must know of what may and what must be found.

Moments are counted from 1; each belongs to one session. Times are positions in the device's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.powercut.blocklog import BlockLog
from tests.powercut.moments import Numbers
from tests.powercut.replay import Span

FIRST_SESSION = 0
FIRST_MOMENT = 1


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds; ``ram`` and ``state`` (the moment of the pause) only when it is suspended."""

    disk: Numbers
    ram: Numbers | None = None
    state: int | None = None


@dataclass(frozen=True)
class Commit:
    """A checkpoint. From ``began`` on it may be found, from ``done`` on it must be. ``is_current``: the others are what
    power cuts left, kept aside."""

    generation: int
    session: int
    snapshot: Snapshot
    began: int
    done: int
    is_current: bool = True


@dataclass(frozen=True)
class Removal:
    """From ``began`` on the old checkpoint may be gone."""

    generation: int
    began: int


@dataclass(frozen=True)
class Synced:
    """The guest was told that a block of its disk is durable."""

    at: int
    session: int
    place: int
    moment: int


@dataclass
class Diary:
    """``parents``: the session that each one goes on from. ``states``: what belongs to the device state of a moment."""

    phases: list[tuple[int, str]] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    synced: list[Synced] = field(default_factory=list)
    states: dict[int, Snapshot] = field(default_factory=dict)
    parents: list[int | None] = field(default_factory=lambda: [None])
    session_of_moment: list[int] = field(default_factory=lambda: [FIRST_SESSION] * (FIRST_MOMENT + 1))

    @property
    def phase(self) -> str:
        """The present phase."""
        return self.phases[-1][1] if self.phases else ""

    def begin_phase(self, phase: str, position: int) -> None:
        self.phases.append((position, phase))

    @property
    def session(self) -> int:
        """The session that runs, or ran last."""
        return len(self.parents) - 1

    def begin_session(self, parent: int) -> None:
        self.parents.append(parent)

    def next_moment(self) -> int:
        self.session_of_moment.append(self.session)
        return len(self.session_of_moment) - 1

    def commit_of(self, generation: int) -> Commit | None:
        return next((commit for commit in self.commits if commit.generation == generation), None)

    def ancestry(self, session: int) -> Iterator[int]:
        """The session and all those that it goes on from."""
        next_one: int | None = session
        while next_one is not None:
            yield next_one
            next_one = self.parents[next_one]

    def spans(self, log: BlockLog) -> list[Span]:
        """The phases as parts of the log; those in which nothing was told to the device are left out."""
        ends = [position for position, _ in self.phases[1:]] + [log.entries[-1].end]
        counted = [
            Span(phase, log.count_before(began), log.count_before(ended))
            for (began, phase), ended in zip(self.phases, ends, strict=True)
        ]
        return [span for span in counted if span.first < span.last]

    def possible_currents(self, position: int) -> set[int]:
        """Which checkpoint may be current after a cut there."""
        under_way = {commit.generation for commit in self._currents() if commit.began < position < commit.done}
        return under_way | {self._last_current(position).generation}

    def must_be_whole(self, position: int) -> list[Commit]:
        """The checkpoints that must be there after a cut."""
        gone = {removal.generation for removal in self.removals if removal.began < position}
        return [commit for commit in self.commits if commit.done <= position and commit.generation not in gone]

    def promised(self, position: int) -> dict[int, dict[int, int]]:
        """What was durable for the guest at a cut: session -> place on its disk -> moment.

        A promise ends when a checkpoint of its session is removed, unless the current one goes on from that session:
        somebody went back, and the policy lets go what was left behind.
        """
        removed = {removal.generation for removal in self.removals if removal.began < position}
        left_behind = {commit.session for commit in self.commits if commit.generation in removed}
        left_behind -= set(self.ancestry(self._last_current(position).session))
        promised: dict[int, dict[int, int]] = {}
        for sync in self.synced:
            if sync.at <= position and sync.session not in left_behind:
                promised.setdefault(sync.session, {})[sync.place] = sync.moment
        return promised

    def keeps(self, disk: Numbers, session: int, promised: dict[int, int]) -> bool:
        """Whether a disk has all that a session was promised, or what it or a later session wrote over it."""
        return all(disk[place] >= moment and self._follows(disk[place], session) for place, moment in promised.items())

    def _currents(self) -> list[Commit]:
        return [commit for commit in self.commits if commit.is_current]

    def _last_current(self, position: int) -> Commit:
        return [commit for commit in self._currents() if commit.done <= position][-1]

    def _follows(self, moment: int, session: int) -> bool:
        return session in self.ancestry(self.session_of_moment[moment])
