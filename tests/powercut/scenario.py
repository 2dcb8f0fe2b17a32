"""What happens to the parcel before the power is cut: a table of steps, each in a phase."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.powercut import blocklog, devices, firststore
from tests.powercut.diary import FIRST_MOMENT, FIRST_SESSION, Commit, Diary
from tests.powercut.sitting import (
    BrokenOff,
    Sitting,
    broken_off_before_current,
    broken_off_before_rename,
)

ROUNDS_OF_WORK = 5


class Story:
    """A parcel's life on a logged device. Its methods are steps."""

    def __init__(self, device: Path, mount_point: Path, log: Path, seed: int) -> None:
        self.diary = Diary(states={FIRST_MOMENT: firststore.SNAPSHOT})
        first = Commit(firststore.GENERATION, FIRST_SESSION, firststore.SNAPSHOT, began=0, done=0)
        self.diary.commits.append(first)
        self._device, self._mount_point, self._log = device, mount_point, log
        self._chance = random.Random(seed)
        self._mounted = ExitStack()
        self._sitting: Sitting

    def live(self, steps: Sequence[Step]) -> Diary:
        """Lives through the steps; returns what happened."""
        self.diary.begin_phase(steps[0].phase, self._here())
        self._mount()
        with self._mounted:
            try:
                for step in steps:
                    self.diary.begin_phase(step.phase, self._here())
                    step.act(self)
            finally:
                self._sitting.leave()
        return self.diary

    def start(self, wish: str = "back to checkpoint") -> None:
        self._sitting.start(wish)

    def start_from_disk(self) -> None:
        self.start("from the disk")

    def start_from_older(self) -> None:
        self.start("back to older")

    def work(self) -> None:
        self._sitting.guest.work(ROUNDS_OF_WORK)

    def checkpoint(self) -> None:
        self._sitting.checkpoint()

    def smooth(self) -> None:
        self._sitting.smooth()

    def suspend(self) -> None:
        self._sitting.suspend()

    def shut_down_guest(self) -> None:
        self._sitting.shut_down_guest()

    def power_cut(self) -> None:
        """Within the story: what reached the device stays, memory is lost."""
        self._sitting.leave()
        devices.shut_down(self._mount_point)
        self._mounted.close()
        self._mount()

    def suspend_cut_before_rename(self) -> None:
        self._cut_off(self._sitting.suspend, broken_off_before_rename(self._sitting))

    def suspend_cut_before_current(self) -> None:
        self._cut_off(self._sitting.suspend, broken_off_before_current(self._sitting))

    def checkpoint_cut_before_current(self) -> None:
        self._cut_off(self._sitting.checkpoint, broken_off_before_current(self._sitting))

    def _cut_off(self, act: Callable[[], None], broken_off: AbstractContextManager[None]) -> None:
        """Something breaks off where only the next start can complete it, and that start."""
        interrupted, session, began = self._sitting, self.diary.session, self._here()
        try:
            with broken_off:
                act()
        except BrokenOff:
            self.power_cut()
            self.diary.begin_phase("adopt", self._here())
            self.start()
        self._sitting.note_commit(interrupted.guest.snapshot, session, began)

    def _mount(self) -> None:
        root = self._mounted.enter_context(devices.mounted_xfs(self._device, self._mount_point))
        self._sitting = Sitting(root, self.diary, self._here, self._chance)

    def _here(self) -> int:
        return blocklog.position(self._log)


@dataclass(frozen=True)
class Step:
    """``phase``: what the cuts in it are counted as."""

    phase: str
    act: Callable[[Story], None]


WORK, SUSPEND = Step("running", Story.work), Step("suspend", Story.suspend)
STARTED = (Step("start", Story.start), WORK)
SESSION = (*STARTED, SUSPEND)
WITH_CHECKPOINT = (*STARTED, Step("checkpoint beside", Story.checkpoint), Step("smoothing", Story.smooth), WORK)
CUT = Step("log recovery", Story.power_cut)

STEPS = (
    *SESSION * 3,
    *WITH_CHECKPOINT, Step("checkpoint beside", Story.checkpoint), SUSPEND,
    *STARTED, CUT, Step("rollback", Story.start), WORK, SUSPEND,
    *WITH_CHECKPOINT, CUT, Step("rollback", Story.start_from_older), WORK, SUSPEND,
    *WITH_CHECKPOINT, CUT, Step("disk after crash", Story.start_from_disk), WORK, SUSPEND,
    *STARTED, Step("shut down", Story.shut_down_guest), *SESSION,
    *STARTED, Step("suspend", Story.suspend_cut_before_rename), WORK, SUSPEND,
    *STARTED, Step("suspend", Story.suspend_cut_before_current), WORK, SUSPEND,
    *STARTED, Step("checkpoint beside", Story.checkpoint_cut_before_current), WORK, SUSPEND,
)  # fmt: skip

PLAIN_STEPS = SESSION * 3  # for controls: what they break must not stop the story itself
