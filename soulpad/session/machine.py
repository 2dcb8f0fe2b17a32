"""A parcel's virtual machine on this PC: the flows resume, cold start and suspend, each a list of steps."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from soulpad.base.errors import CannotResume
from soulpad.session import parcels, workingset
from soulpad.session.parcels import Parcel
from soulpad.session.report import command_line_value, report
from soulpad.session.stages import StageClock
from soulpad.session.thispc import ThisPc
from soulpad.session.viewer import SPICE_SOCKET
from soulpad.session.workingset import Companion
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    RAM_NAME,
    CheckpointManifest,
    SuspendedState,
    disk_name,
    sha256_of,
)
from soulpad.store.workingset import WORKING_SET_NAME
from soulpad.vm.domain import Accelerator, RunFiles, domain_xml
from soulpad.vm.hypervisor import Hypervisor, RunningMachine

VM_USER = "soulpad-vm"
PRELOAD = Path("/usr/lib/soulpad/lib/libsoulpad-nohuge.so")


@dataclass(frozen=True)
class RunningParcel:
    """A parcel whose VM runs; ``generation`` is the checkpoint that it came from."""

    parcel: Parcel
    machine: RunningMachine
    hypervisor: Hypervisor
    accelerator: Accelerator
    generation: int
    companion: Companion = field(default_factory=Companion, compare=False)


def resume(parcel: Parcel, hypervisor: Hypervisor, pc: ThisPc, clock: StageClock) -> RunningParcel:
    """Resumes the current checkpoint. On any failure the checkpoint is as it was, and CannotResume says why."""
    manifest = parcels.require_disks(parcel, parcel.current())
    state = require_fits(manifest, pc, hypervisor)
    require_same_machine(parcel, state)
    live = parcels.begin_live(parcel, manifest, with_ram=True)
    clock.done("checkpoint checked and cloned")
    checkpoint = parcel.paths.checkpoint(manifest.generation)
    state_file = checkpoint / DEVICE_STATE_NAME
    with workingset.prefetched(checkpoint, live) as companion:
        xml = prepare(parcel, live, state.accelerator, incoming=True)
        own_for_vm([state_file])
        machine = hypervisor.start_paused(xml)
        clock.done("VM process start")
        with killed_on_failure(machine):
            machine.load_device_state(state_file)
            clock.done("VM state load")
            parcels.withdraw_clean(parcel)  # from here on a crash is a crash: live/ is not the checkpoint any more
            machine.resume()
        companion.machine_runs()
    clock.done("VM resume")
    accelerator = cast(Accelerator, state.accelerator)
    return RunningParcel(parcel, machine, hypervisor, accelerator, manifest.generation, companion)


def start_cold(
    parcel: Parcel, hypervisor: Hypervisor, pc: ThisPc, clock: StageClock, *, from_live: bool = False
) -> RunningParcel:
    """Boots the parcel from its disk: the current checkpoint's, or (``from_live``) the one that a crash left."""
    if from_live:
        record = parcel.live_record()
        generation = record.generation if record else parcel.current_generation()
        live = parcel.paths.live
        for name in (RAM_NAME, WORKING_SET_NAME):
            (live / name).unlink(missing_ok=True)
    else:
        manifest = parcels.require_disks(parcel, parcel.current())
        generation = manifest.generation
        live = parcels.begin_live(parcel, manifest, with_ram=False)
    make_ram(live / RAM_NAME, parcel.description.machine.memory_mib)
    accelerator: Accelerator = "kvm" if pc.kvm else "qemu"
    clock.done("checkpoint checked and cloned")
    machine = hypervisor.start_paused(prepare(parcel, live, accelerator))
    clock.done("VM process start")
    with killed_on_failure(machine):
        parcels.withdraw_clean(parcel)
        machine.resume()
    clock.done("VM resume")
    return RunningParcel(parcel, machine, hypervisor, accelerator, generation)


def suspend(running: RunningParcel, clock: StageClock) -> int:
    """Suspends into a new checkpoint; returns its generation once it is durable and current."""
    parcel, live = running.parcel, running.parcel.paths.live
    running.hypervisor.watch(None)
    running.companion.stop()
    running.machine.pause()
    clock.done("VM stop")
    touch_for_vm(live / DEVICE_STATE_NAME)
    running.machine.save_device_state(live / DEVICE_STATE_NAME)
    running.machine.kill()
    clock.done("state save")
    manifest = suspended_manifest(running)
    parcels.flush(parcel, manifest)
    clock.done("flush")
    generation = parcels.commit(parcel, manifest)
    parcels.prune(parcel)
    clock.done("commit")
    return generation


def keep_disks_of_ended_guest(running: RunningParcel) -> int:
    """The guest shut itself down: its disks become a checkpoint that starts cold. Returns the generation."""
    parcel = running.parcel
    running.companion.stop()
    for name in (RAM_NAME, WORKING_SET_NAME, DEVICE_STATE_NAME):  # a suspend that failed may have left the last
        (parcel.paths.live / name).unlink(missing_ok=True)
    manifest = CheckpointManifest(
        generation=next_generation(parcel),
        parent=running.generation,
        taken_at=int(time.time()),
        disk_bytes=tuple(disk.size_bytes for disk in parcel.description.machine.disks),
    )
    parcels.flush(parcel, manifest)
    generation = parcels.commit(parcel, manifest)
    parcels.prune(parcel)
    return generation


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


def require_same_machine(parcel: Parcel, state: SuspendedState) -> None:
    """QEMU does not check that a state belongs to a machine: raises CannotResume when it is another one's."""
    machine = parcel.description.machine
    if state.machine != machine or state.ram_bytes != machine.memory_mib << 20:
        raise CannotResume(
            "This session was saved on a machine that is not the parcel's.",
            "Somebody changed the parcel's description. Restore it, or start the parcel anew from its disk.",
        )


def vt_hint(pc: ThisPc) -> str:
    """What to look for in the PC's firmware setup."""
    name = {"vmx": "Intel Virtualization Technology (VT-x)", "svm": "SVM Mode (AMD-V)"}
    setting = name.get(pc.virtualisation_flag or "", "Virtualization Technology, VT-x, AMD-V or SVM Mode")
    return f"Switch on '{setting}' in the PC's BIOS setup, or use another PC."


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


def next_generation(parcel: Parcel) -> int:
    """A generation that no checkpoint has had."""
    return max([*parcel.generations(), parcel.current_generation()]) + 1


def suspended_manifest(running: RunningParcel) -> CheckpointManifest:
    """The manifest of the live files after the VM was stopped and its state saved."""
    parcel, live = running.parcel, running.parcel.paths.live
    machine = parcel.description.machine
    state = SuspendedState(
        ram_bytes=(live / RAM_NAME).stat().st_size,
        device_state_bytes=(live / DEVICE_STATE_NAME).stat().st_size,
        device_state_sha256=sha256_of(live / DEVICE_STATE_NAME),
        accelerator=running.accelerator,
        vmm=running.hypervisor.vmm_version(),
        machine=machine,
    )
    return CheckpointManifest(
        generation=next_generation(parcel),
        parent=running.generation,
        taken_at=int(time.time()),
        disk_bytes=tuple(disk.size_bytes for disk in machine.disks),
        suspended=state,
    )
