"""In the host's root: one side of one part of the runtime benchmark, beside the other sides."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.lab.inside import Inside, answer, set_up
from benchmarks.lab.meeting import wait_for_the_others
from benchmarks.lab.runtime_load import BUSY_ROUND_SECONDS, busy_round, checkpoints_beside, work
from benchmarks.lab.runtime_machines import ComparedMachine, machine_of
from benchmarks.lab.runtime_request import KINDS, Request
from benchmarks.lab.throttle import throttle


def measure(fields: dict[str, Any]) -> dict[str, Any]:
    """The part's figures, the measured speeds of the throttled device, and QEMU's version."""
    request = Request.from_fields(fields)
    inside = set_up(request.device, request.limits, request.throttled)
    machine = machine_of(request.side, inside)
    machine.boot()
    inside.port.fill(request.pattern_mib)
    for kind in KINDS:  # makes the memory and the file that are gone round
        work(inside.port, kind, request.load.set_mib(kind))
    machine.stand_ready()
    wait_for_the_others("resume")
    throttle(request.throttled, request.limits)
    machine.go_on()
    figures = speed(request, inside) if request.part == "speed" else periods(request, inside, machine)
    throttle(request.throttled, None)
    inside.port.verify()
    machine.end()
    return figures | {"speeds": inside.speeds.to_fields(), "vmm": inside.vmm}


# --- how fast it works


def speed(request: Request, inside: Inside) -> dict[str, Any]:
    """Turns of each kind of work after the other, from the moment at which every side's guest runs."""
    load = request.load
    wait_for_the_others(f"work for {load.work_seconds} seconds")
    began = time.monotonic()
    turns = []
    while time.monotonic() < began + load.work_seconds:
        for kind in KINDS:
            at_seconds = time.monotonic() - began
            mib, seconds = work(inside.port, kind, load.set_mib(kind), load.turn_ms)
            turns.append({"kind": kind, "at_seconds": round(at_seconds, 2), "mib": mib, "seconds": seconds})
    return {"turns": turns}


# --- how much it writes


def periods(request: Request, inside: Inside, machine: ComparedMachine) -> dict[str, Any]:
    """A period of idling and a busy one."""
    load = request.load
    inside.port.fill(0)  # else the guest checks its pattern all the time, which is not idle
    idle = period("idle", load.idle_minutes, request, inside, machine, lambda: None)
    busy = period("busy", load.busy_minutes, request, inside, machine, lambda: busy_round(inside.port, load))
    return {"idle": idle, "busy": busy}


def period(
    name: str, minutes: float, request: Request, inside: Inside, machine: ComparedMachine, act: Callable[[], None]
) -> dict[str, Any]:
    """What goes over the device in a period that begins with nothing left to write. ``left_bytes``: what then is."""
    store, interval = inside.store, request.load.checkpoint_seconds
    makes_checkpoints = request.side == "ours_checkpoints"
    store.sync()
    wait_for_the_others(f"{name} for {minutes:g} minutes")
    before, began = store.traffic(), time.monotonic()
    rounds: list[float] = []
    with checkpoints_beside(machine.checkpoint, interval if makes_checkpoints else None) as checkpoints:
        while (left := began + 60 * minutes - time.monotonic()) > 0:
            round_began = time.monotonic()
            act()
            rounds.append(time.monotonic() - round_began)
            time.sleep(max(0.0, min(left, BUSY_ROUND_SECONDS) - rounds[-1]))
    traffic, seconds = store.traffic() - before, time.monotonic() - began
    store.sync()
    return {
        "seconds": round(seconds, 1),
        "written_bytes": traffic.written_bytes,
        "read_bytes": traffic.read_bytes,
        "left_bytes": (store.traffic() - before).written_bytes - traffic.written_bytes,
        "rounds": len(rounds) if name == "busy" else 0,
        "round_seconds": round(sum(rounds) / len(rounds), 3),
        "checkpoints": checkpoints,
    }


if __name__ == "__main__":
    answer(measure)
