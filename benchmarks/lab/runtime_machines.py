"""In the host's root: the two machines that the runtime benchmark compares."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from benchmarks.lab.inside import PC, Inside
from benchmarks.lab.runtime_request import SideName
from benchmarks.lab.stockdomain import stock_xml
from soulpad.base.run import run
from soulpad.session import machine
from soulpad.session.machine import RunningParcel
from soulpad.session.parcels import Parcel, parcels_in
from soulpad.session.stages import StageClock
from soulpad.store.checkpoint import disk_name
from soulpad.vm.hypervisor import RunningMachine

PLAIN_FOLDER = "plain"


class ComparedMachine(Protocol):
    """A guest's life: boot, stand ready, go on (the measurement begins), end."""

    def boot(self) -> None: ...

    def stand_ready(self) -> None: ...

    def go_on(self) -> None: ...

    def checkpoint(self) -> dict[str, float]:
        """Makes one beside the running guest; returns the seconds of its stages."""

    def end(self) -> None: ...


class OurMachine:
    """By the product's own flows: it stands ready suspended, and goes on by a resume from the cold store."""

    def __init__(self, inside: Inside, parcel: Parcel) -> None:
        self._inside = inside
        self._parcel = parcel
        self._running: RunningParcel | None = None

    def boot(self) -> None:
        self._running = machine.start_cold(self._parcel, self._inside.hypervisor, PC, StageClock("resume"))
        self._inside.port.boot()

    def stand_ready(self) -> None:
        """After one resume the next is an ordinary one: its working set is known."""
        self._suspend()
        self._inside.store.make_cold()
        self.go_on()
        self._suspend()
        self._inside.store.make_cold()

    def go_on(self) -> None:
        before = self._inside.port.last_report()
        self._running = machine.resume(self._parcel, self._inside.hypervisor, PC, StageClock("resume"))
        self._inside.port.first_output(before)

    def checkpoint(self) -> dict[str, float]:
        assert self._running
        clock = StageClock("checkpoint")
        machine.checkpoint(self._running, clock)
        return clock.seconds

    def end(self) -> None:
        self._suspend()

    def _suspend(self) -> None:
        assert self._running
        machine.suspend(self._running, StageClock("suspend"))


class PlainMachine:
    """As libvirt alone runs it: anonymous memory, and a disk file that shares no block with another."""

    def __init__(self, inside: Inside, parcel: Parcel) -> None:
        self._inside = inside
        self._parcel = parcel
        self._running: RunningMachine | None = None

    def boot(self) -> None:
        xml = stock_xml(self._parcel.description, self._own_disk(), self._inside.port.device)
        self._running = self._inside.hypervisor.start_paused(xml)
        self._running.resume()
        self._inside.port.boot()

    def stand_ready(self) -> None:
        """It is: it runs, and its memory is there."""

    def go_on(self) -> None:
        """It does, never having stopped."""

    def checkpoint(self) -> dict[str, float]:
        raise NotImplementedError("the plain machine has no checkpoints")

    def end(self) -> None:
        assert self._running
        self._running.kill()

    def _own_disk(self) -> Path:
        source = self._parcel.paths.checkpoint(min(self._parcel.generations())) / disk_name(0)
        folder = self._inside.store.root / PLAIN_FOLDER
        folder.mkdir(mode=0o711)
        run(["cp", "--sparse=always", "--reflink=never", source, folder / source.name])
        return folder / source.name


def machine_of(side: SideName, inside: Inside) -> ComparedMachine:
    """The side's machine, not yet running."""
    (parcel,) = parcels_in(inside.store.root)
    return PlainMachine(inside, parcel) if side == "plain" else OurMachine(inside, parcel)
