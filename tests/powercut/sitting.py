"""A person sits down at the store, works and leaves: the product's own flows, called as its session calls them.

The only module here that knows the product's session.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest import mock

from soulpad.base.errors import SoulpadError
from tests.powercut.diary import Commit, Diary, Removal, Snapshot
from tests.powercut.guest import DISK, PlayedHypervisor, PlayedMachine
from tests.powercut.moments import Numbers, numbers_in
from tests.unit.stand_ins import stand_in

stand_in()  # the played guest takes libvirt's place

from soulpad.session import flow, live, machine, parcels, periodic, retention, smoothing, space  # noqa: E402
from soulpad.session.stages import StageClock  # noqa: E402
from soulpad.session.thispc import ThisPc  # noqa: E402
from soulpad.store.checkpoint import disk_name  # noqa: E402

PRUNE = "prune"


class NotAsked(Exception):
    """The product asked something that nobody at this place should be asked."""


class BrokenOff(Exception):
    """The session's process ended in the middle of a step."""


# how the options begin after a crash -> what is done then
WAYS = {"Go back to": "back to checkpoint", "Restart with": "from the disk", "Choose an older": "back to older"}
ALWAYS_OFFERED = ("back to checkpoint", "from the disk")


@dataclass
class Person:
    """At the screen; after a crash goes the way of ``wish``, or the first one where it is not offered."""

    wish: str
    offered: tuple[str, ...] = ()
    taken: str = ""

    def working(self, _text: str) -> None:
        """Patience."""

    def choose(self, title: str, _text: Sequence[str], options: Sequence[str], _default: int = 0) -> int:
        match title:
            case "The last session was cut off":
                self.offered = tuple(
                    way for option in options for words, way in WAYS.items() if option.startswith(words)
                )
                self.taken = self.wish if self.wish in self.offered else self.offered[0]
                return self.offered.index(self.taken)
            case "Which moment?" | "What shall be done with it?":
                return 0
        raise NotAsked(f"{title}: {'; '.join(options)}")


class StartClock(StageClock):
    """Tells when the live files are made and QEMU is about to start."""

    def __init__(self, on_cloned: Callable[[], None]) -> None:
        super().__init__("resume")
        self._on_cloned = on_cloned

    def done(self, stage: str) -> None:
        super().done(stage)
        if stage == "checkpoint checked and cloned":
            self._on_cloned()


class Sitting:
    """From the opened store below ``root`` on. ``here``: the position in the device's log."""

    def __init__(self, root: Path, diary: Diary, here: Callable[[], int], chance: random.Random) -> None:
        self.root, self.diary, self._here = root, diary, here
        [self.parcel] = parcels.parcels_in(root)
        self._hypervisor = PlayedHypervisor(self.parcel.paths.live, diary, here, chance)
        self.person = Person("")
        self._running: Any = None

    @property
    def guest(self) -> PlayedMachine:
        """The guest that was started last."""
        assert self._hypervisor.machine
        return self._hypervisor.machine

    def start(self, wish: str) -> None:
        """Up to the running guest. ``wish``: one of WAYS' values, should the person be asked."""
        self.person, began, before = Person(wish), self._here(), set(self.parcel.generations())
        crashed = self.diary.session
        with self._observed():
            self._running = flow.start(self._host(), self.parcel, StartClock(self._cloned))
        from_disk = self.person.taken == "from the disk"
        origin = None if from_disk else self.diary.commit_of(self._running.generation)
        self.diary.begin_session(origin.session if origin else crashed)
        self._note_cut_off(set(self.parcel.generations()) - before, crashed, began)

    def checkpoint(self) -> None:
        """A checkpoint beside the running session, whose guest works on."""
        with self._committed(), self._observed(), self.guest.working():
            flow.checkpoint_beside(self._running)

    def smooth(self) -> None:
        """All that is in pieces in the running session, as after a checkpoint; the guest works on."""
        with self.guest.working():
            smoothing.smooth(self.parcel, aim_extents=1)

    def suspend(self) -> None:
        with self._committed():
            self._end("asked")

    def shut_down_guest(self) -> None:
        with self._committed():
            self.guest.shut_down()
            self._end("shut-down")

    def leave(self) -> None:
        """The guest goes away as it is."""
        if self._hypervisor.machine:
            self.guest.kill()

    def disks(self) -> Iterator[Numbers]:
        """Every disk that a person could go on from, the likeliest first."""
        folders = [self.parcel.paths.checkpoint(generation) for generation in reversed(self.parcel.generations())]
        for path in (folder / disk_name(0) for folder in (self.parcel.paths.live, *folders)):
            if path.exists():
                yield numbers_in(DISK, path)

    def refused(self, generations: Iterable[int]) -> Iterator[str]:
        """Why the product itself would not go on from some of these checkpoints."""
        for generation in generations:
            try:
                self.parcel.verified(generation)
            except SoulpadError as error:
                yield f"refused: {error.message}"

    def _end(self, reason: Literal["asked", "shut-down"]) -> None:
        with self._observed():
            flow.end(self._host(), self._running, self.root, reason)

    @contextmanager
    def _committed(self) -> Iterator[None]:
        """What happens in here makes the session a checkpoint, and it is current at the end."""
        began = self._here()
        yield
        self.note_commit(self.guest.snapshot, self.diary.session, began)

    def note_commit(self, snapshot: Snapshot, session: int, began: int) -> None:
        """What is current now was made from a session, whoever completed it."""
        generation = self.parcel.current_generation()
        self.diary.commits.append(Commit(generation, session, snapshot, began, done=self._here()))

    def _note_cut_off(self, added: set[int], crashed: int, began: int) -> None:
        """Disks that a power cut left are a checkpoint, though not the current one."""
        for manifest in self.parcel.manifests():
            if manifest.generation in added and manifest.occasion == "cut-off":
                disk = numbers_in(DISK, self.parcel.paths.checkpoint(manifest.generation) / disk_name(0))
                done = self._here()
                self.diary.commits.append(
                    Commit(manifest.generation, crashed, Snapshot(disk), began, done, is_current=False)
                )

    def _host(self) -> Any:
        stopping = SimpleNamespace(interruptible=nullcontext, asked=False)
        pc = ThisPc(memory_mib=4096, kvm=True, virtualisation_flag="vmx")
        return SimpleNamespace(pc=pc, stick=None, console=self.person, hypervisor=self._hypervisor, stopping=stopping)

    def _cloned(self) -> None:
        """The second half of an ordinary start is a phase of its own."""
        if self.diary.phase == "start":
            self.diary.begin_phase("resume", self._here())

    @contextmanager
    def _observed(self) -> Iterator[None]:
        """What only the stick's host has is stood in for; removals of checkpoints are noted."""
        original = retention.remove

        def remove(parcel: parcels.Parcel, generation: int, *, at_once: bool = False) -> None:
            self.diary.removals.append(Removal(generation, self._here()))
            if self.diary.phase != PRUNE:
                self.diary.begin_phase(PRUNE, self._here())
            original(parcel, generation, at_once=at_once)

        with standing_in(), mock.patch.object(retention, "remove", remove):
            yield


@contextmanager
def standing_in() -> Iterator[None]:
    """QEMU's user, the viewer and the kernel log have stand-ins."""
    viewer = SimpleNamespace(prepare_socket_folder=lambda _user: None, hide=lambda: None)

    def report(_event: str, **_facts: object) -> None:
        """Nobody listens."""

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(machine, "VM_USER", "root"))
        stack.enter_context(mock.patch.object(flow, "viewer", viewer))
        for module in (flow, machine, space, periodic):
            stack.enter_context(mock.patch.object(module, "report", report))
        yield


@contextmanager
def broken_off_before_rename(sitting: Sitting) -> Iterator[None]:
    """The session's process ends when live/ is about to become the checkpoint."""
    original, live_folder = Path.replace, sitting.parcel.paths.live

    def replace(path: Path, target: Path) -> Path:
        if path == live_folder:
            raise BrokenOff
        return original(path, target)

    with mock.patch.object(Path, "replace", replace):
        yield


@contextmanager
def broken_off_before_current(_sitting: Sitting) -> Iterator[None]:
    """The session's process ends when the new checkpoint is about to become the current one."""
    with mock.patch.object(live, "set_current", side_effect=BrokenOff):
        yield


@contextmanager
def nothing_flushed() -> Iterator[None]:
    """A product that is broken on purpose: a manifest vouches for what was not made durable."""
    with mock.patch.object(live, "flush"):
        yield
