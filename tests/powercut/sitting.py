"""A person sits down at the store, works and leaves: the product's own flows, called as its session calls them.

The only module here that knows the product's session.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, get_args
from unittest import mock

from tests.powercut.diary import Commit, Diary, Removal, Snapshot
from tests.powercut.guest import DISK, PlayedHypervisor, PlayedMachine
from tests.powercut.moments import Numbers, numbers_in

for name in ("libvirt", "libvirt_qemu"):  # on the stick's host only; the played guest takes their place
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = ModuleType(name)

from soulpad.session import flow, live, machine, parcels, periodic, retention, space  # noqa: E402
from soulpad.session.stages import StageClock  # noqa: E402
from soulpad.session.thispc import ThisPc  # noqa: E402
from soulpad.store.checkpoint import disk_name  # noqa: E402

Choice = Literal["checkpoint", "disk", "older"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
PRUNE = "prune"


class NotAsked(Exception):
    """The product asked something that nobody at this place should be asked."""


class BrokenOff(Exception):
    """The session's process ended in the middle of a step."""


@dataclass
class Person:
    """At the screen; after a crash takes the ``choice``. ``chose``: the words of what was taken, one per question."""

    choice: Choice
    chose: list[str]

    def working(self, _text: str) -> None:
        """Patience."""

    def choose(self, title: str, _text: Sequence[str], options: Sequence[str], _default: int = 0) -> int:
        match title:
            case "The last session was cut off":
                wanted = {"checkpoint": "Go back to", "disk": "Restart with", "older": "Choose an older"}[self.choice]
                answers = [place for place, option in enumerate(options) if option.startswith(wanted)]
                answer = answers[0] if answers else 0
            case "Which moment?" | "What shall be done with it?":
                answer = 0
            case _:
                raise NotAsked(f"{title}: {'; '.join(options)}")
        self.chose.append(options[answer])
        return answer

    @property
    def was_asked(self) -> bool:
        return bool(self.chose)

    @property
    def took_disk(self) -> bool:
        return self.was_asked and self.chose[0].startswith("Restart with")


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
        self.person = Person("checkpoint", [])
        self._running: Any = None

    @property
    def guest(self) -> PlayedMachine:
        """The guest that was started last."""
        assert self._hypervisor.machine
        return self._hypervisor.machine

    def start(self, choice: Choice) -> None:
        """Up to the running guest."""
        self.person, began, before = Person(choice, []), self._here(), set(self.parcel.generations())
        crashed = self.diary.session
        with self._observed():
            self._running = flow.start(self._host(), self.parcel, StartClock(self._cloned))
        origin = self.diary.commit_of(self._running.generation)
        self.diary.begin_session(crashed if self.person.took_disk or origin is None else origin.session)
        self._note_cut_off(set(self.parcel.generations()) - before, crashed, began)

    def checkpoint(self) -> None:
        """A checkpoint beside the running session, whose guest works on."""
        with self._committed(), self._observed(), self.guest.working():
            flow.checkpoint_beside(self._running)

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

        def remove(parcel: parcels.Parcel, generation: int) -> None:
            self.diary.removals.append(Removal(generation, self._here()))
            if self.diary.phase != PRUNE:
                self.diary.begin_phase(PRUNE, self._here())
            original(parcel, generation)

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
