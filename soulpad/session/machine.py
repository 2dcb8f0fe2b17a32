"""A parcel's virtual machine on this PC: the flows resume, cold start, checkpoint and suspend, each a list of steps."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from soulpad.base.durable import fsync_path
from soulpad.base.errors import CannotResume, SoulpadError, SuspendFailed
from soulpad.base.pagecache import unwritten_bytes
from soulpad.base.units import MIB
from soulpad.session import live, retention, space, workingset
from soulpad.session.parcels import LiveRecord, Parcel
from soulpad.session.periodic import GuestTooBusy
from soulpad.session.report import command_line_value, report
from soulpad.session.stages import StageClock
from soulpad.session.thispc import ThisPc, memory_facts, vt_hint
from soulpad.session.viewer import SPICE_SOCKET
from soulpad.session.workingset import Companion
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    RAM_NAME,
    CheckpointManifest,
    Occasion,
    SuspendedState,
    disk_name,
    expected_files,
    identity_of,
    sha256_of,
)
from soulpad.store.lineage import history_after
from soulpad.store.workingset import WORKING_SET_NAME
from soulpad.vm.domain import Accelerator, RunFiles, domain_xml
from soulpad.vm.hypervisor import Hypervisor, RunningMachine

VM_USER = "soulpad-vm"
# What is dirty when the VM is to stand still is copied in memory: so little that it is a moment only, or so much that a
# guest which may soon be calmer is left alone. Where a flush leaves nearly as much as there was, the guest goes round
# this memory, and another would write the same again.
LITTLE_BYTES = 4 * MIB
BEARABLE_BYTES = 256 * MIB
WORTH_ANOTHER_FLUSH = 0.5
MOST_FLUSHES = 3
PRELOAD = Path("/usr/lib/soulpad/lib/libsoulpad-nohuge.so")


@dataclass
class RunningParcel:
    """A parcel whose VM runs; ``generation`` is the checkpoint that it came from, or the last one made beside it."""

    parcel: Parcel
    machine: RunningMachine
    hypervisor: Hypervisor
    accelerator: Accelerator
    generation: int
    companion: Companion = field(default_factory=Companion, compare=False)


def resume(
    parcel: Parcel, hypervisor: Hypervisor, pc: ThisPc, clock: StageClock, manifest: CheckpointManifest | None = None
) -> RunningParcel:
    """Resumes a verified checkpoint (None: the current one). On any failure it is as it was; CannotResume says why."""
    manifest = manifest or parcel.current()
    state = require_fits(manifest, pc, hypervisor)
    require_same_machine(parcel, state)
    live_folder = live.begin_live(parcel, manifest, with_ram=True)
    clock.done("checkpoint checked and cloned")
    checkpoint = parcel.paths.checkpoint(manifest.generation)
    state_file = checkpoint / DEVICE_STATE_NAME
    with workingset.prefetched(checkpoint, live_folder) as companion:
        xml = prepare(parcel, live_folder, state.accelerator, incoming=True)
        own_for_vm([state_file])
        machine = hypervisor.start_paused(xml)
        clock.done("VM process start")
        with killed_on_failure(machine):
            machine.load_device_state(state_file)
            clock.done("VM state load")
            live.withdraw_clean(parcel)  # from here on a crash is a crash: live/ is not the checkpoint any more
            machine.resume()
        companion.machine_runs()
    clock.done("VM resume")
    accelerator = cast(Accelerator, state.accelerator)
    return RunningParcel(parcel, machine, hypervisor, accelerator, manifest.generation, companion)


def start_cold(
    parcel: Parcel, hypervisor: Hypervisor, pc: ThisPc, clock: StageClock, manifest: CheckpointManifest | None = None
) -> RunningParcel:
    """Boots the parcel from the disks of a checkpoint (None: the current one)."""
    manifest = manifest or parcel.with_whole_disks(parcel.current_generation())
    live.begin_live(parcel, manifest, with_ram=False)
    return boot_live(parcel, hypervisor, pc, clock, manifest.generation)


def start_from_crash(
    parcel: Parcel, hypervisor: Hypervisor, pc: ThisPc, clock: StageClock, record: LiveRecord
) -> RunningParcel:
    """Boots the parcel from the disks that a crash left; ``record`` is what live/ says of itself."""
    for name in (RAM_NAME, WORKING_SET_NAME):
        (parcel.paths.live / name).unlink(missing_ok=True)
    return boot_live(parcel, hypervisor, pc, clock, record.generation)


def boot_live(parcel: Parcel, hypervisor: Hypervisor, pc: ThisPc, clock: StageClock, generation: int) -> RunningParcel:
    """Boots the disks in live/ with empty memory."""
    make_ram(parcel.paths.live / RAM_NAME, parcel.description.machine.memory_mib)
    accelerator: Accelerator = "kvm" if pc.kvm else "qemu"
    clock.done("checkpoint checked and cloned")
    machine = hypervisor.start_paused(prepare(parcel, parcel.paths.live, accelerator))
    clock.done("VM process start")
    with killed_on_failure(machine):
        live.withdraw_clean(parcel)
        machine.resume()
    clock.done("VM resume")
    return RunningParcel(parcel, machine, hypervisor, accelerator, generation)


def checkpoint(running: RunningParcel, clock: StageClock, *, can_wait: bool = False) -> int:
    """Makes a checkpoint while the session goes on; returns its generation once it is durable and current.

    The VM stands still only while its device state is saved and what was changed meanwhile is brought into the clones:
    memory and disks are written and cloned before that, and all is made durable after it. Raises SoulpadError, among
    them GuestTooBusy if it ``can_wait`` for a calmer guest; the session goes on then too.
    """
    parcel = running.parcel
    staged = live.begin_checkpoint(parcel, parcel.next_generation())
    with live.removed_on_failure(staged):
        touch_for_vm(staged / DEVICE_STATE_NAME)
        if flush_ahead(parcel) > bearable_bytes(memory_facts()["available_mib"]) and can_wait:
            raise GuestTooBusy("the guest writes faster than the stick", "it is tried again in a minute")
        begun = live.clone_ahead(parcel, staged)
        clock.done("flush ahead")
        with standing_still(running.machine):
            running.machine.save_device_state(staged / DEVICE_STATE_NAME)
            completed = live.complete_clones(begun)
        clock.done("VM stopped")
        live.make_holes(completed)
        live.hand_on_working_set(parcel, staged)
        generation = live.commit_beside(parcel, staged, suspended_manifest(running, staged, "while-running"))
    running.generation = generation
    live.note_generation(parcel, generation)
    retention.prune(parcel)
    clock.done("commit")
    return generation


def suspend(running: RunningParcel, clock: StageClock) -> int:
    """Suspends into a new checkpoint; returns its generation once it is durable and current. Raises SuspendFailed."""
    parcel, folder = running.parcel, running.parcel.paths.live
    running.hypervisor.watch(None)
    running.companion.stop()
    running.machine.pause()
    clock.done("VM stop")
    try:
        save_device_state(running, folder / DEVICE_STATE_NAME)
    finally:
        running.machine.kill()
    clock.done("state save")
    manifest = suspended_manifest(running, folder, "suspend")
    live.flush(folder, manifest)
    clock.done("flush")
    generation = live.commit(parcel, manifest)
    retention.prune(parcel)
    clock.done("commit")
    return generation


def save_device_state(running: RunningParcel, path: Path) -> None:
    """Saves it, with the room made that a full stick can give. Raises SuspendFailed."""
    space.make_room_to_save(running.parcel)
    try:
        touch_for_vm(path)  # on a full stick not even an empty file can be made before
        running.machine.save_device_state(path)
    except SoulpadError as error:
        raise suspend_failed(error.message) from error
    except OSError as error:
        raise suspend_failed(error.strerror or str(error)) from error


def keep_disks_of_ended_guest(running: RunningParcel) -> int:
    """The guest shut itself down: its disks become a checkpoint that starts cold. Returns the generation."""
    parcel, folder = running.parcel, running.parcel.paths.live
    drop_memory_of_ended_guest(running)
    manifest = manifest_of(running, folder, "shut-down", None)
    live.flush(folder, manifest)
    generation = live.commit(parcel, manifest)
    retention.prune(parcel)
    return generation


def drop_memory_of_ended_guest(running: RunningParcel) -> None:
    """Its memory belongs to no device state any more. What waits to be written of it would keep the stick busy, and a
    person waiting, when the store is unmounted."""
    running.companion.stop()
    for name in (RAM_NAME, WORKING_SET_NAME, DEVICE_STATE_NAME):  # a suspend that failed may have left the last
        (running.parcel.paths.live / name).unlink(missing_ok=True)


def flush_ahead(parcel: Parcel) -> int:
    """Writes what is dirty while the VM runs, until little is left, or it gets no less; returns how many bytes of its
    memory are dirty then."""
    left_bytes = dirty_bytes(parcel)
    for _ in range(MOST_FLUSHES):
        before_bytes = left_bytes
        for name in live.running_files(parcel):
            fsync_path(parcel.paths.live / name)
        left_bytes = dirty_bytes(parcel)
        if left_bytes <= LITTLE_BYTES or left_bytes > before_bytes * WORTH_ANOTHER_FLUSH:
            break
    return left_bytes


def bearable_bytes(available_mib: int) -> int:
    """How much may be copied while the VM stands still, on a PC with so much memory to spare: the kernel slows down who
    has much more of it dirty than that, both originals and copies."""
    return min(BEARABLE_BYTES, available_mib * MIB // 8)


def dirty_bytes(parcel: Parcel) -> int:
    """How much of the machine's memory is not on the stick."""
    with (parcel.paths.live / RAM_NAME).open("rb") as memory:
        return unwritten_bytes(memory.fileno())


@contextmanager
def standing_still(machine: RunningMachine) -> Iterator[None]:
    """The VM's processors stand still, its block I/O is drained; afterwards it goes on, whatever happened."""
    machine.pause()
    try:
        yield
    finally:
        machine.resume()


def suspend_failed(reason: str) -> SuspendFailed:
    """What a person is told when the memory could not be saved."""
    return SuspendFailed(
        f"The session could not be saved: {reason}.",
        "At the next start you can go back to how it was saved last, or restart with all that had reached its disk.",
    )


@contextmanager
def killed_on_failure(machine: RunningMachine) -> Iterator[None]:
    """A machine that does not come to run is ended, whatever the reason: nothing of it keeps the store busy."""
    try:
        yield
    except BaseException:
        machine.kill()
        raise


def require_fits(manifest: CheckpointManifest, pc: ThisPc, hypervisor: Hypervisor) -> SuspendedState:
    """The suspended state, if this PC and this QEMU can resume it; raises CannotResume with the reason."""
    state = manifest.suspended
    if state is None:
        raise CannotResume("This parcel is not suspended.", "Start it instead.")
    if state.accelerator == "kvm" and not pc.kvm:
        raise CannotResume(
            "This session needs the processor's virtualisation, which this PC lacks or has switched off.", vt_hint(pc)
        )
    if state.vmm != hypervisor.vmm_version():
        raise CannotResume(
            f"This session was suspended by {state.vmm}; this stick's host has {hypervisor.vmm_version()}.",
            "Use the host version that suspended it, or start the parcel anew from its disk.",
        )
    return state


def can_resume(parcel: Parcel, manifest: CheckpointManifest, pc: ThisPc, hypervisor: Hypervisor) -> bool:
    """Whether this PC can resume a whole checkpoint, as far as is known before QEMU tries."""
    try:
        require_same_machine(parcel, require_fits(manifest, pc, hypervisor))
    except CannotResume:
        return False
    return True


def require_same_machine(parcel: Parcel, state: SuspendedState) -> None:
    """QEMU does not check that a state belongs to a machine: raises CannotResume when it is another one's."""
    machine = parcel.description.machine
    if state.machine != machine or state.ram_bytes != machine.memory_mib << 20:
        raise CannotResume(
            "This session was saved on a machine that is not the parcel's.",
            "Somebody changed the parcel's description. Restore it, or start the parcel anew from its disk.",
        )


def prepare(parcel: Parcel, live: Path, accelerator: str, *, incoming: bool = False) -> str:
    """Gives QEMU's user the live files; returns the domain's XML."""
    machine = parcel.description.machine
    disks = tuple(live / disk_name(index) for index in range(len(machine.disks)))
    own_for_vm([live / RAM_NAME, *disks])
    serial = command_line_value("soulpad.guest_serial")
    files = RunFiles(
        ram=live / RAM_NAME,
        disks=disks,
        spice_socket=SPICE_SOCKET,
        preload=PRELOAD if PRELOAD.exists() else None,
        serial_device=Path("/dev") / serial if serial else None,
    )
    xml = domain_xml(parcel.description.uuid, machine, files, cast(Accelerator, accelerator), incoming=incoming)
    report("vm-starting", accelerator=accelerator, incoming=incoming)
    return xml


def make_ram(path: Path, memory_mib: int) -> None:
    """An empty RAM file, all holes: QEMU would make one by itself, but never by accident."""
    with path.open("wb") as file:
        file.truncate(memory_mib << 20)


def vm_user_id() -> int:
    """The user id that QEMU runs as."""
    return pwd.getpwnam(VM_USER).pw_uid


def touch_for_vm(path: Path) -> None:
    """An empty file that QEMU's user may write."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    own_for_vm([path])


def own_for_vm(paths: list[Path]) -> None:
    """Gives files to the user that QEMU runs as."""
    user = pwd.getpwnam(VM_USER)
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)


def suspended_manifest(running: RunningParcel, folder: Path, occasion: Occasion) -> CheckpointManifest:
    """The manifest of the files in ``folder``, with the VM's state saved there."""
    state = SuspendedState(
        ram_bytes=(folder / RAM_NAME).stat().st_size,
        device_state_bytes=(folder / DEVICE_STATE_NAME).stat().st_size,
        device_state_sha256=sha256_of(folder / DEVICE_STATE_NAME),
        accelerator=running.accelerator,
        vmm=running.hypervisor.vmm_version(),
        machine=running.parcel.description.machine,
    )
    return manifest_of(running, folder, occasion, state)


def manifest_of(
    running: RunningParcel, folder: Path, occasion: Occasion, state: SuspendedState | None
) -> CheckpointManifest:
    """The manifest of a new checkpoint whose files lie in ``folder``, at rest."""
    manifest = CheckpointManifest(
        generation=running.parcel.next_generation(),
        parent=running.generation,
        taken_at=int(time.time()),
        disk_bytes=tuple(disk.size_bytes for disk in running.parcel.description.machine.disks),
        suspended=state,
        occasion=occasion,
        history=history_after(running.parcel.paths.checkpoint(running.generation)),
    )
    return replace(manifest, identity=identity_of(folder, expected_files(manifest)))
