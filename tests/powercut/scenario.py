"""What happens to the parcel before the power is cut: sessions, as the product's own flows live through them.

The only module here that calls the product's session. A scenario is a table of steps; each has a phase.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any, Literal
from unittest import mock

from builder.guest.parcels import parcel_files
from builder.store.xfs import Content
from soulpad.base.units import MIB
from soulpad.store.checkpoint import DEVICE_STATE_NAME, RAM_NAME, CheckpointManifest, SuspendedState, disk_name
from soulpad.store.layout import PARCELS
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from tests.powercut import blocklog, devices
from tests.powercut.diary import FIRST_MOMENT, FIRST_SESSION, Commit, Diary, Removal, Snapshot
from tests.powercut.guest import BLOCKS, DISK, RAM, STATE, STATE_BLOCKS, VMM, PlayedHypervisor
from tests.powercut.moments import BLOCK_BYTES, content_of

for name in ("libvirt", "libvirt_qemu"):  # on the stick's host only; the played guest takes their place
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = ModuleType(name)

from soulpad.session import flow, machine, parcels  # noqa: E402
from soulpad.session.stages import StageClock  # noqa: E402
from soulpad.session.thispc import ThisPc  # noqa: E402

UUID = "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90"
MACHINE = Machine(memory_mib=BLOCKS * BLOCK_BYTES // MIB, disks=(Disk(disk_name(0), BLOCKS * BLOCK_BYTES),))
FIRST_GENERATION = 1

Choice = Literal["checkpoint", "disk"]


class NotAsked(Exception):
    """The product asked something that nobody at this place should be asked."""


class BrokenOff(Exception):
    """The session's process ended in the middle of a step."""


@dataclass
class Person:
    """At the screen; after a crash takes the ``choice``."""

    choice: Choice
    asked: bool = False

    def working(self, _text: str) -> None:
        """Patience."""

    def choose(self, title: str, _text: Sequence[str], options: Sequence[str], _default: int = 0) -> int:
        if title != "The last session was cut off":
            raise NotAsked(f"{title}: {'; '.join(options)}")
        self.asked = True
        return [option.startswith("Restart") for option in options].index(self.choice == "disk")


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
    """One person's sitting at the store below ``root``: start, work, end."""

    def __init__(self, root: Path, diary: Diary, here: Callable[[], int], chance: random.Random) -> None:
        self.root, self.diary, self._here = root, diary, here
        [self.parcel] = parcels.parcels_in(root)
        self._hypervisor = PlayedHypervisor(self.parcel.paths.live, diary, here, chance)
        self.person = Person("checkpoint")
        self._running: Any = None

    @property
    def played(self) -> Any:
        """The guest."""
        return self._hypervisor.machine

    def start(self, choice: Choice) -> None:
        """From the opened store to the running guest."""
        self.person = Person(choice)
        with standing_in():
            self._running = flow.start(self._host(), self.parcel, StartClock(self._cloned))
        from_disk = self.person.asked and choice == "disk"
        commit = self.diary.commit_of(self.parcel.current_generation())
        self.diary.begin_session(self.diary.session if from_disk or commit is None else commit.session)

    def suspend(self, reason: Literal["asked", "shut-down"] = "asked") -> None:
        """The session ends, and becomes the current checkpoint."""
        with standing_in(), self._observed_prune():
            flow.end(self._host(), self._running, self.root, reason)

    def leave(self) -> None:
        """The guest goes away as it is."""
        if self.played:
            self.played.kill()

    def _cloned(self) -> None:
        """The second half of an ordinary start is a phase of its own."""
        if self.diary.phases[-1][1] == "start":
            self.diary.phases.append((self._here(), "resume"))

    def _host(self) -> Any:
        stopping = SimpleNamespace(interruptible=nullcontext, asked=False)
        pc = ThisPc(memory_mib=4096, kvm=True, virtualisation_flag="vmx")
        return SimpleNamespace(pc=pc, stick=None, console=self.person, hypervisor=self._hypervisor, stopping=stopping)

    @contextmanager
    def _observed_prune(self) -> Iterator[None]:
        original = parcels.prune

        def prune(parcel: parcels.Parcel) -> None:
            began, before = self._here(), parcel.generations()
            original(parcel)
            if removed := sorted(set(before) - set(parcel.generations())):
                self.diary.phases.append((began, "prune"))
                self.diary.removals += [Removal(generation, began) for generation in removed]

        with mock.patch.object(parcels, "prune", prune):
            yield


@contextmanager
def standing_in() -> Iterator[None]:
    """What only the stick's host has is stood in for: QEMU's user, the viewer, the kernel log."""
    viewer = SimpleNamespace(prepare_socket_folder=lambda _user: None, hide=lambda: None)

    def report(_event: str, **_facts: object) -> None:
        """Nobody listens."""

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(machine, "VM_USER", "root"))
        stack.enter_context(mock.patch.object(flow, "viewer", viewer))
        for module in (flow, machine):
            stack.enter_context(mock.patch.object(module, "report", report))
        yield


class Story:
    """A parcel's life on a logged device. Steps are its methods; the last one may end in the middle of a session."""

    def __init__(self, device: Path, mount_point: Path, log: Path, seed: int) -> None:
        self.diary = Diary()
        self.diary.commits.append(Commit(FIRST_GENERATION, FIRST_SESSION, FIRST_SNAPSHOT, began=0, done=0))
        self.diary.states[FIRST_MOMENT] = FIRST_SNAPSHOT
        self._device, self._mount_point, self._log = device, mount_point, log
        self._chance = random.Random(seed)
        self._mounted = ExitStack()
        self._sitting: Sitting

    def live(self, steps: Sequence[Step]) -> Diary:
        """Lives through the steps; returns what happened."""
        try:
            self._phase("start")
            self._mount()
            for step in steps:
                self._phase(step.phase)
                step.act(self)
        finally:
            with self._mounted:
                self._sitting.leave()
        return self.diary

    def start(self, choice: Choice = "checkpoint") -> None:
        self._sitting.start(choice)

    def start_from_disk(self) -> None:
        self.start("disk")

    def work(self) -> None:
        self._sitting.played.work(rounds=6)

    def suspend(self) -> None:
        self._ending(self._sitting.suspend)

    def shut_down_guest(self) -> None:
        def end() -> None:
            self._sitting.played.shut_down()
            self._sitting.suspend("shut-down")

        self._ending(end)

    def power_cut(self) -> None:
        """Within the story: what reached the device stays, memory is lost."""
        self._sitting.leave()
        devices.shut_down(self._mount_point)
        self._mounted.close()
        self._mount()

    def suspend_cut_before_rename(self) -> None:
        self._ending(lambda: self._cut_off_at(Path, "replace", self._sitting.parcel.paths.live))

    def suspend_cut_before_current(self) -> None:
        self._ending(lambda: self._cut_off_at(parcels, "set_current", self._sitting.parcel))

    def _cut_off_at(self, target: object, function: str, argument: object) -> None:
        """A suspend ends where ``function`` is called with ``argument``, and the next start makes up for it."""
        original = getattr(target, function)

        def break_off(first: object, *others: object) -> Any:
            if first == argument:
                raise BrokenOff
            return original(first, *others)

        try:
            with mock.patch.object(target, function, break_off):
                self._sitting.suspend()
        except BrokenOff:
            self.power_cut()
            self._phase("adopt")
            self.start()

    def _ending(self, end: Callable[[], None]) -> None:
        """Notes the checkpoint that the running session became, whoever completed it."""
        sitting, session, began = self._sitting, self.diary.session, self._here()
        end()
        generation = sitting.parcel.current_generation()
        self.diary.commits.append(Commit(generation, session, sitting.played.snapshot, began, done=self._here()))

    def _mount(self) -> None:
        root = self._mounted.enter_context(devices.mounted_xfs(self._device, self._mount_point))
        self._sitting = Sitting(root, self.diary, self._here, self._chance)

    def _here(self) -> int:
        return blocklog.position(self._log)

    def _phase(self, name: str) -> None:
        self.diary.phases.append((self._here(), name))


@dataclass(frozen=True)
class Step:
    phase: str
    act: Callable[[Story], None]


SESSION = (Step("start", Story.start), Step("running", Story.work), Step("suspend", Story.suspend))
CRASHED = (*SESSION[:2], Step("log recovery", Story.power_cut))
STEPS = (
    *SESSION * 4,
    *CRASHED, Step("rollback", Story.start), *SESSION[1:],
    *CRASHED, Step("disk after crash", Story.start_from_disk), *SESSION[1:],
    *SESSION[:2], Step("shut down", Story.shut_down_guest), *SESSION,
    *SESSION[:2], Step("suspend", Story.suspend_cut_before_rename), *SESSION[1:],
    *SESSION[:2], Step("suspend", Story.suspend_cut_before_current), *SESSION[1:],
)  # fmt: skip

PLAIN_STEPS = SESSION * 3  # what a control breaks must not stop the story itself

FIRST_SNAPSHOT = Snapshot((FIRST_MOMENT,) * BLOCKS, (FIRST_MOMENT,) * BLOCKS, FIRST_MOMENT)


def first_tree(folder: Path) -> dict[PurePosixPath, Content]:
    """The store as it is made: a suspended parcel. Its large files are made in ``folder``."""
    moment = FIRST_MOMENT
    state = content_of(STATE, (moment,) * STATE_BLOCKS)
    files = {
        disk_name(0): content_of(DISK, FIRST_SNAPSHOT.disk),
        RAM_NAME: content_of(RAM, (moment,) * BLOCKS),
        DEVICE_STATE_NAME: state,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    suspended = SuspendedState(
        ram_bytes=len(files[RAM_NAME]),
        device_state_bytes=len(state),
        device_state_sha256=hashlib.sha256(state).hexdigest(),
        accelerator="kvm",
        vmm=VMM,
        machine=MACHINE,
    )
    manifest = CheckpointManifest(FIRST_GENERATION, None, 1763700000, (len(files[disk_name(0)]),), suspended)
    description = ParcelDescription("work", MACHINE, UUID)
    tree = parcel_files(description, manifest, {name: folder / name for name in files})
    return {PARCELS / UUID / path: content for path, content in tree.items()}
