"""In the host's root: SoulPad's side of the resume benchmark, by the product's own flows."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.lab.changed import suspend_figures
from benchmarks.lab.figures import Figures
from benchmarks.lab.guest import GuestSerial, Message
from benchmarks.lab.inside import PC
from benchmarks.lab.resume_request import Request
from benchmarks.lab.store import Measurement, Store
from soulpad.session import machine
from soulpad.session.machine import RunningParcel
from soulpad.session.parcels import Parcel, parcels_in
from soulpad.session.stages import StageClock
from soulpad.vm.hypervisor import Hypervisor


@dataclass(frozen=True)
class Side:
    """What the steps work with."""

    store: Store
    hypervisor: Hypervisor
    port: GuestSerial
    parcel: Parcel


def measure(request: Request, store: Store, hypervisor: Hypervisor, port: GuestSerial) -> list[Figures]:
    """One entry of figures a run; raises when a resumed guest is not the one that was suspended."""
    (parcel,) = parcels_in(store.root)
    side = Side(store, hypervisor, port, parcel)
    running = machine.start_cold(parcel, hypervisor, PC, StageClock("resume"))
    port.boot()
    port.fill(request.touched_mib)
    machine.suspend(running, StageClock("suspend"))
    first = first_resume(side)
    return [first | one_run(side, request.work_mib) for _ in range(request.runs)]


def first_resume(side: Side) -> Figures:
    """The only resume of a parcel that knows no working set; its session leaves one for the next."""
    running, resumed, _ = resume(side)
    side.port.verify()
    leave_other_scratch(side.port)
    suspend(side, running)
    return {"first_resume_seconds": resumed.seconds, "first_read_bytes_before_output": resumed.traffic.read_bytes}


def leave_other_scratch(port: GuestSerial) -> None:
    """Checking memory leaves the same bytes in the program's own 3 MiB of scratch each time. What a later check writes
    there must count as changed, so something else is left there first."""
    port.command("touch 1")


def one_run(side: Side, work_mib: int) -> Figures:
    """Resume, check all memory, suspend; once more with ``work_mib`` rewritten before the suspend; and once more with
    so much rewritten before a checkpoint beside the session, which is then cut off and gone back to."""
    running, resumed, resume_stages = resume(side)
    side.port.verify()
    suspended, suspend_stages = suspend(side, running)
    idle = suspend_figures(side.parcel, suspended)
    running, _, _ = resume(side)
    side.port.command(f"touch {work_mib}")
    worked, _ = suspend(side, running)
    running, _, _ = resume(side)
    side.port.command(f"touch {work_mib}")
    saved = side.port.last_report()
    checkpointed, checkpoint_stages = checkpoint(side, running)
    side.port.verify()
    running.machine.kill()
    running, _, _ = resume(side, saved)
    side.port.verify()
    leave_other_scratch(side.port)
    suspend(side, running)
    return {
        "resume_seconds": resumed.seconds,
        "read_bytes_before_output": resumed.traffic.read_bytes,
        **idle,
        "suspend_after_work_seconds": worked.seconds,
        "suspend_after_work_written_bytes": worked.traffic.written_bytes,
        "checkpoint_seconds": checkpointed.seconds,
        "checkpoint_stopped_seconds": checkpoint_stages["VM stopped"],
        "checkpoint_written_bytes": checkpointed.traffic.written_bytes,
        "stages": {"resume": resume_stages, "suspend": suspend_stages, "checkpoint": checkpoint_stages},
    }


def resume(side: Side, saved: Message | None = None) -> tuple[RunningParcel, Measurement, dict[str, float]]:
    """From the mounted, cold store to the guest's first output, which goes on from ``saved`` (None: its last one)."""
    before, clock = saved or side.port.last_report(), StageClock("resume")
    side.store.make_cold()
    clock.skip()
    with side.store.measured() as result:
        running = machine.resume(side.parcel, side.hypervisor, PC, clock)
        side.port.first_output(before)
        clock.done("first guest output")
    return running, result, clock.seconds


def suspend(side: Side, running: RunningParcel) -> tuple[Measurement, dict[str, float]]:
    """Until everything is on the device."""
    clock = StageClock("suspend")
    with side.store.measured() as result:
        machine.suspend(running, clock)
        side.store.sync()
    return result, clock.seconds


def checkpoint(side: Side, running: RunningParcel) -> tuple[Measurement, dict[str, float]]:
    """One beside the running session, until it is current."""
    clock = StageClock("checkpoint")
    with side.store.measured() as result:
        machine.checkpoint(running, clock)
    return result, clock.seconds
