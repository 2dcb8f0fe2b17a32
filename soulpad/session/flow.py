"""The flow boot -> resume -> suspend -> power off, as the stick's host runs it. One process, one session.

Every way out ends with a sentence on the screen and the PC switched off; no way leads to a shell.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from soulpad.base.errors import ProgramFailed, SoulpadError, WrongPassphrase
from soulpad.base.secrets import harden_process
from soulpad.session import (
    branches,
    fitness,
    inputs,
    live,
    machine,
    parcels,
    publicfacts,
    smoothing,
    space,
    stages,
    viewer,
    volume,
    warming,
    writeback,
)
from soulpad.session.auxiliary import find_key
from soulpad.session.choices import (
    Beginning,
    after_crash,
    after_refusal,
    as_left,
    choose_moment,
    choose_parcel,
    with_little_room,
    without_kvm,
)
from soulpad.session.comeback import back_in_the_world
from soulpad.session.console import Console, PowerOffAsked, Typed
from soulpad.session.machine import RunningParcel
from soulpad.session.parcels import Parcel
from soulpad.session.periodic import PeriodicCheckpoints
from soulpad.session.report import report
from soulpad.session.stages import StageClock
from soulpad.session.stopping import EndReason, Stopping, StopRequested, ask_for_power_off
from soulpad.session.thispc import Stick, ThisPc, memory_facts, require_memory, store_of, this_pc, this_stick
from soulpad.store.checkpoint import CheckpointManifest
from soulpad.store.layout import STAGE_LOG
from soulpad.vm.hypervisor import Hypervisor

log = logging.getLogger("soulpad.session")

OVER = Path("/run/soulpad/over")  # hostos/keeper looks for it


@dataclass(frozen=True)
class Host:
    """What the flow works with: the PC, its stick, the person at the screen, QEMU, and requests to stop."""

    pc: ThisPc
    stick: Stick
    console: Console
    hypervisor: Hypervisor
    stopping: Stopping


def run_session(console: Console, libvirt_root: Path) -> None:
    """From the drawn prompt to a PC that may be switched off. Raises nothing: what goes wrong is said on the screen."""
    stopping = Stopping()
    try:
        harden_process()
        report("session-service", **memory_facts())
        pc = require_memory(this_pc())
        host = Host(pc, this_stick(), console, Hypervisor(libvirt_root, machine.VM_USER, "kvm"), stopping)
        host.hypervisor.warm_up()
        fitness.advise(console, host.stick, pc)
        with ExitStack() as stack:
            clock = StageClock("resume")
            with warming.while_asking():
                root, go_back = open_store(host, stack, clock)
            parcel = choose_parcel(console, stopping, parcels.parcels_in(root))
            running = start(host, parcel, clock, go_back=go_back)
            reason = live_until_over(host, running, root, clock)
            end(host, running, root, reason)
            publicfacts.keep_true(host.stick, root)
        farewell(console)
    except (PowerOffAsked, StopRequested):
        report("stopped-before-session")
        let_go_of_stick()
    except SoulpadError as error:
        explain(console, stopping, error)
    except Exception as error:
        log.exception("unexpected")
        report("unexpected-error", kind=type(error).__name__, where=stack_of(error))
        explain(console, stopping, unexpected())


def open_store(host: Host, stack: ExitStack, clock: StageClock) -> tuple[Path, bool]:
    """Asks for the passphrase (or takes an auxiliary key's) until the store opens; mounts and grows it.

    Returns where it is mounted, and whether the person wants to choose the moment to go on from.
    """
    with not_needed("the partition did not grow"):
        volume.widen(host.stick)
    message = ""
    while True:
        with host.stopping.interruptible():
            key = find_key(this_stick())
            typed = Typed(key) if key else host.console.ask_passphrase(message)
        clock.skip()
        host.console.working("Unlocking")
        try:
            volume.unlock(store_of(host.stick), typed.passphrase)
            break
        except WrongPassphrase as error:
            report("wrong-passphrase")
            message = error.message
    root = stack.enter_context(volume.mounted())
    clock.done("unlock")
    report("unlocked")
    with not_needed("the store did not grow"):
        volume.grow()
    clock.done("grow")
    return root, typed.go_back


@contextmanager
def not_needed(what: str) -> Iterator[None]:
    """Around what may fail: a store that stays small is still a store."""
    try:
        yield
    except ProgramFailed as error:
        log.warning("%s: %s", what, error.message)


def start(host: Host, parcel: Parcel, clock: StageClock, *, go_back: bool = False) -> RunningParcel:
    """Resumes a suspended parcel, starts one that is not, and asks where only the person can know, or wants to say."""
    host.console.working(f"Starting {parcel.description.name}")
    host.hypervisor.vmm_version()
    clock.done("VM monitor ready")
    viewer.prepare_socket_folder(machine.vm_user_id())
    live.adopt_finished_suspend(parcel)
    branches.clear_unfinished(parcel.paths.root)
    require_room(host, parcel)
    clock.skip()
    try:
        beginning = how_to_begin(host, parcel, go_back)
        if beginning.cold and not host.pc.kvm:
            without_kvm(host.console, host.stopping, host.pc)
        clock.skip()
        return begin(host, parcel, beginning, clock)
    except SoulpadError as error:
        return begin_otherwise(host, parcel, error, clock)


def require_room(host: Host, parcel: Parcel) -> None:
    """Sees to it that the session can be saved, or says before it starts that it may have to end early."""
    space.keep_reserve(parcel.paths.root)
    if not space.make_room(parcel, space.START_ROOM_BYTES):
        with_little_room(host.console, host.stopping, space.free_bytes(parcel.paths.root))


def how_to_begin(host: Host, parcel: Parcel, go_back: bool) -> Beginning:
    """From the current checkpoint, unless the last session was cut off or the person wants another: then as asked."""
    record = parcel.live_record()
    cut_off = record is not None and not record.clean
    if go_back and not cut_off and (moments := parcel.whole_checkpoints()):
        return choose_moment(host.console, host.stopping, moments)
    if not cut_off:
        return as_left(parcel.current())
    whole = parcel.whole_checkpoints()
    newest = next((manifest for manifest in whole if manifest.generation == parcel.current_generation()), None)
    others = [manifest for manifest in whole if manifest is not newest]
    return after_crash(host.console, host.stopping, newest, others)


def begin(host: Host, parcel: Parcel, beginning: Beginning, clock: StageClock) -> RunningParcel:
    """Starts the machine as was chosen."""
    if beginning.branch and beginning.manifest:
        parcel, beginning = branch_off(host, parcel, beginning.manifest)
    if not beginning.cold:
        return machine.resume(parcel, host.hypervisor, host.pc, clock, beginning.manifest)
    record = parcel.live_record()
    if beginning.manifest is None and record:
        return machine.start_from_crash(parcel, host.hypervisor, host.pc, clock, record)
    return machine.start_cold(parcel, host.hypervisor, host.pc, clock, beginning.manifest)


def begin_otherwise(host: Host, parcel: Parcel, error: SoulpadError, clock: StageClock) -> RunningParcel:
    """What was to be resumed cannot be: an older moment or a cold start, as the person says. Never by itself."""
    report("resume-refused", reason=error.message)
    whole = parcel.whole_checkpoints()
    older = [manifest for manifest in whole if machine.can_resume(parcel, manifest, host.pc, host.hypervisor)]
    beginning = after_refusal(host.console, host.stopping, error, older, parcel.newest_whole_disks())
    clock.skip()
    return begin(host, parcel, beginning, clock)


def branch_off(host: Host, parcel: Parcel, manifest: CheckpointManifest) -> tuple[Parcel, Beginning]:
    """The second parcel, and how it begins."""
    taken = {found.description.name for found in parcels.parcels_in(parcel.paths.root)}
    name = branches.name_of_branch(taken, parcel.description.name)
    second = branches.branch(parcel, manifest, name)
    report("branched", parcel=second.description.uuid, generation=manifest.generation)
    return second, as_left(second.current())


def live_until_over(host: Host, running: RunningParcel, root: Path, clock: StageClock) -> EndReason:
    """The session, until it is to end. Whatever fails here (a screen, a log), it is suspended and not lost."""
    try:
        with back_in_the_world(running.machine):
            note_resume(running, root, clock)
            return show_until_over(host, running)
    except Exception as error:
        log.exception("the session is suspended because of a failure beside it")
        report("unexpected-error", kind=type(error).__name__, where=stack_of(error))
        return "asked"


def note_resume(running: RunningParcel, root: Path, clock: StageClock) -> None:
    """Records the stage times of the boot and the resume."""
    boot = stages.boot_stages(stages.read_marks(), stages.seconds_before_kernel())
    clock.seconds = boot | clock.seconds
    report("running", generation=running.generation, stages=clock.seconds)
    stages.append_to_log(root / STAGE_LOG, clock, running.parcel.description.uuid, running.generation)


def show_until_over(host: Host, running: RunningParcel) -> EndReason:
    """The VM has the screen until somebody ends the session."""
    host.hypervisor.watch(host.stopping.guest_ended)
    host.console.hide()
    viewer.show()
    checkpoints = PeriodicCheckpoints(
        partial(checkpoint_and_tell, host, running), ask_for_power_off, tidy=partial(smoothing.smooth, running.parcel)
    )
    inputs.watch(running.parcel.description.suspend_when_idle_minutes, checkpoints.make_one_now)
    host.stopping.on_save(checkpoints.make_one_now)
    guard = space.RoomGuard(running.parcel, ask_for_power_off, lambda: go_on_after_disk_error(host, running))
    checkpoints.start()
    guard.start()
    try:
        return host.stopping.wait()
    finally:
        host.stopping.on_save(None)
        guard.stop()
        checkpoints.stop()


def go_on_after_disk_error(host: Host, running: RunningParcel) -> None:
    """A write or read that failed made the VM stand still: it is tried again, for nothing is lost by that."""
    if host.hypervisor.disk_failed():
        report("disk-error")
        with suppress(SoulpadError):  # it has ended meanwhile
            running.machine.resume()


def checkpoint_and_tell(host: Host, running: RunningParcel, can_wait: bool) -> None:
    """One checkpoint; what it asks of a PC is public from then on, for the power may be cut."""
    checkpoint_beside(running, can_wait)
    publicfacts.keep_true(host.stick, running.parcel.paths.root)


def checkpoint_beside(running: RunningParcel, can_wait: bool = False) -> None:
    """One checkpoint while the session goes on. Raises GuestTooBusy where it ``can_wait`` and had better."""
    space.require_room_beside(running.parcel)
    clock = StageClock("checkpoint")
    with writeback.fitted_to_stick(volume.MAPPED):
        generation = machine.checkpoint(running, clock, can_wait=can_wait)
    report("checkpoint", generation=generation, stages=clock.seconds)


def end(host: Host, running: RunningParcel, root: Path, reason: EndReason) -> None:
    """Suspends; or keeps the disks of a guest that shut itself down; or says that the VM crashed."""
    report("ending", reason=reason)
    clock = StageClock("suspend")
    with suppress(SoulpadError):  # a screen that cannot be had is no reason not to save
        viewer.hide()
        host.console.working("Suspending" if reason == "asked" else "Saving")
    match reason:
        case "asked":
            generation = machine.suspend(running, clock)
        case "shut-down":
            generation = machine.keep_disks_of_ended_guest(running)
        case "crashed":
            machine.drop_memory_of_ended_guest(running)
            raise machine_crashed()
    stages.append_to_log(root / STAGE_LOG, clock, running.parcel.description.uuid, generation)
    report("suspended" if reason == "asked" else "ended", generation=generation, stages=clock.seconds)


def farewell(console: Console) -> None:
    """The last words; the store is closed by now."""
    let_go_of_stick()
    report("store-closed")
    with suppress(SoulpadError):
        console.message("Your session is saved", ["This PC switches itself off.", "Then you can take the stick out."])


def let_go_of_stick() -> None:
    """Nothing more is to be saved: from now on a stick that is pulled out is not waited for, the PC switches off."""
    with suppress(OSError):
        OVER.touch()


def explain(console: Console, stopping: Stopping, error: SoulpadError) -> None:
    """Shows what went wrong and waits for the person to read it."""
    report("failed", reason=error.message)
    let_go_of_stick()
    try:
        with stopping.interruptible():
            console.choose("SoulPad cannot go on", [error.message, error.hint], ["Switch this PC off"], 0)
    except (PowerOffAsked, StopRequested, SoulpadError):  # nobody to tell is no reason to stay on
        pass


def stack_of(error: BaseException) -> list[str]:
    """Where a bug showed, innermost last, without any of the values involved."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]


def unexpected() -> SoulpadError:
    """What a person is told of a bug."""
    return SoulpadError(
        "SoulPad met a problem that it did not expect.",
        "What was saved last is safe on the stick. Switch the PC off and try again.",
    )


def machine_crashed() -> SoulpadError:
    """What a person is told when QEMU ended by itself."""
    return SoulpadError(
        "The virtual machine ended unexpectedly.",
        "Its disk is kept as it was. At the next start you can choose how to go on.",
    )
