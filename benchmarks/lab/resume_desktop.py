"""In the host's root: a guest as large as a desktop that browses while it is suspended, and goes on at once.

Measured on both sides: until its first output, until its first whole round through all that is hot, and the suspend.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import libvirt

from benchmarks.lab import resume_managed, resume_ours
from benchmarks.lab.changed import suspend_figures
from benchmarks.lab.figures import Figures
from benchmarks.lab.guest import GuestSerial
from benchmarks.lab.inside import PC
from benchmarks.lab.resume_request import Request
from benchmarks.lab.stockdomain import stock_xml
from benchmarks.lab.store import Store
from soulpad.session import machine
from soulpad.session.parcels import parcels_in
from soulpad.session.stages import StageClock
from soulpad.vm.hypervisor import Hypervisor

Started = TypeVar("Started")

STEADY_ROUNDS = 5


def ours(request: Request, store: Store, hypervisor: Hypervisor, port: GuestSerial) -> list[Figures]:
    """One entry a run: of the first resume of all, and of one with a working set; raises when memory was damaged."""
    (parcel,) = parcels_in(store.root)
    side = resume_ours.Side(store, hypervisor, port, parcel)
    running = machine.start_cold(parcel, hypervisor, PC, StageClock("resume"))
    steady = open_browser(port, request)
    machine.suspend(running, StageClock("suspend"))

    def resume() -> machine.RunningParcel:
        return machine.resume(parcel, hypervisor, PC, StageClock("resume"))

    running, first = come_back(store, port, resume)
    resume_ours.suspend(side, running)
    runs: list[Figures] = []
    for _ in range(request.runs):
        running, figures = come_back(store, port, resume)
        suspended, _ = resume_ours.suspend(side, running)
        firsts = {f"first_{name}": value for name, value in first.items()}
        runs.append(firsts | figures | {"steady_round_seconds": steady} | suspend_figures(parcel, suspended))
    return runs


def managed_save(request: Request, store: Store, libvirt_root: Path, port: GuestSerial) -> list[Figures]:
    """The same, by libvirt's managed save."""
    (parcel,) = parcels_in(store.root)
    resume_managed.save_into(store, libvirt_root)
    connection = libvirt.open(f"qemu:///embed?root={libvirt_root}")
    disk = resume_managed.prepared_disk(parcel, store)
    domain = connection.defineXML(stock_xml(parcel.description, disk, port.device))
    domain.create()
    steady = open_browser(port, request)
    runs: list[Figures] = []
    for _ in range(request.runs):
        saved = resume_managed.save(domain, store)
        _, figures = come_back(store, port, domain.create)
        runs.append(
            figures
            | {
                "steady_round_seconds": steady,
                "suspend_seconds": saved.seconds,
                "suspend_written_bytes": saved.traffic.written_bytes,
            }
        )
    domain.destroy()
    return runs


def open_browser(port: GuestSerial, request: Request) -> float:
    """The booted guest browses; returns the seconds of a round when nothing is in its way."""
    port.boot()
    port.fill(request.touched_mib)
    port.browse(request.heap_mib, request.hot_mib)
    return float(median(one["seconds"] for one in port.rounds(STEADY_ROUNDS)))


def come_back(store: Store, port: GuestSerial, start: Callable[[], Started]) -> tuple[Started, Figures]:
    """From the mounted, cold store through the first output to the end of the first round that began after it."""
    before = port.last_report()
    store.make_cold()
    seen = port.seen()
    with store.measured() as whole:
        began, earlier = time.monotonic(), store.traffic()
        started = start()
        port.first_output(before)
        first_seconds, first_traffic = time.monotonic() - began, store.traffic() - earlier
        _, first_round = port.rounds(2, seen)  # the first one was begun before the suspend
    port.rounds(STEADY_ROUNDS)
    port.verify()
    return started, {
        "resume_seconds": first_seconds,
        "read_bytes_before_output": first_traffic.read_bytes,
        "round_done_seconds": whole.seconds,
        "read_bytes_before_round": whole.traffic.read_bytes,
        "round_seconds": first_round["seconds"],
    }
