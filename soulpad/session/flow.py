"""The flow boot -> resume -> suspend -> power off, as the stick's host runs it. One process, one session.

Every way out ends with a sentence on the screen and the PC switched off; no way leads to a shell.
"""

from __future__ import annotations

import logging
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import ProgramFailed, SoulpadError, WrongPassphrase
from soulpad.base.run import run
from soulpad.base.secrets import harden_process
from soulpad.session import machine, parcels, stages, viewer, volume, warming
from soulpad.session.auxiliary import find_key
from soulpad.session.choices import after_crash, after_refusal, choose_parcel, without_kvm
from soulpad.session.console import Console, PowerOffAsked
from soulpad.session.machine import RunningParcel
from soulpad.session.parcels import Parcel
from soulpad.session.report import report
from soulpad.session.stages import StageClock
from soulpad.session.stopping import EndReason, Stopping, StopRequested, watch_keys
from soulpad.session.thispc import Stick, ThisPc, memory_facts, require_memory, this_pc, this_stick
from soulpad.store.layout import STAGE_LOG
from soulpad.vm.hypervisor import Hypervisor

log = logging.getLogger("soulpad.session")


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
        with ExitStack() as stack:
            clock = StageClock("resume")
            with warming.while_asking():
                root = open_store(host, stack, clock)
            parcel = choose_parcel(console, stopping, parcels.parcels_in(root))
            running = start(host, parcel, clock)
            reason = live_until_over(host, running, root, clock)
            end(host, running, root, reason)
        farewell(console)
    except (PowerOffAsked, StopRequested):
        report("stopped-before-session")
    except SoulpadError as error:
        explain(console, stopping, error)
    except Exception as error:
        log.exception("unexpected")
        report("unexpected-error", kind=type(error).__name__, where=stack_of(error))
        explain(console, stopping, unexpected())


def open_store(host: Host, stack: ExitStack, clock: StageClock) -> Path:
    """Asks for the passphrase (or takes an auxiliary key's) until the store opens; mounts and grows it."""
    message = ""
    while True:
        with host.stopping.interruptible():
            secret = find_key(host.stick) or host.console.ask_passphrase(message)
        clock.skip()
        host.console.working("Unlocking")
        try:
            volume.unlock(host.stick.parcels, secret)
            break
        except WrongPassphrase as error:
            report("wrong-passphrase")
            message = error.message
    root = stack.enter_context(volume.mounted())
    clock.done("unlock")
    report("unlocked")
    try:
        volume.grow(host.stick)
    except ProgramFailed as error:  # a store that stays small is still a store
        log.warning("the store did not grow: %s", error.message)
    clock.done("grow")
    return root


def start(host: Host, parcel: Parcel, clock: StageClock) -> RunningParcel:
    """Resumes a suspended parcel, starts one that is not, and asks where only the person can know."""
    host.console.working(f"Starting {parcel.description.name}")
    host.hypervisor.vmm_version()
    clock.done("VM monitor ready")
    viewer.prepare_socket_folder(machine.vm_user_id())
    parcels.adopt_finished_suspend(parcel)
    record = parcel.live_record()
    if record and not record.clean:
        from_disk = after_crash(host.console, host.stopping, parcel)
        clock.skip()
        if from_disk:
            return machine.start_cold(parcel, host.hypervisor, host.pc, clock, from_live=True)
        parcels.keep_aside(parcel)
    try:
        if parcel.current().kind == "suspended":
            return machine.resume(parcel, host.hypervisor, host.pc, clock)
        if not host.pc.kvm:
            without_kvm(host.console, host.stopping, host.pc)
    except SoulpadError as error:
        report("resume-refused", reason=error.message)
        after_refusal(host.console, host.stopping, error)
    clock.skip()
    return machine.start_cold(parcel, host.hypervisor, host.pc, clock)


def live_until_over(host: Host, running: RunningParcel, root: Path, clock: StageClock) -> EndReason:
    """The session, until it is to end. Whatever fails here (a screen, a log), it is suspended and not lost."""
    try:
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
    watch_keys()
    return host.stopping.wait()


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
            running.companion.stop()
            raise machine_crashed()
    stages.append_to_log(root / STAGE_LOG, clock, running.parcel.description.uuid, generation)
    report("suspended" if reason == "asked" else "ended", generation=generation, stages=clock.seconds)


def farewell(console: Console) -> None:
    """The last words; the store is closed by now."""
    report("store-closed")
    with suppress(SoulpadError):
        console.message("Your session is saved", ["This PC switches itself off.", "Then you can take the stick out."])


def explain(console: Console, stopping: Stopping, error: SoulpadError) -> None:
    """Shows what went wrong and waits for the person to read it."""
    report("failed", reason=error.message)
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


def switch_off() -> None:
    """Asks systemd for the power-off; harmless when it is under way."""
    run(["systemctl", "poweroff"])
