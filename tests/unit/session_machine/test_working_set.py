"""The working set on its way through resume and suspend: a hint that comes along and never stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import CannotResume
from soulpad.session import workingset
from soulpad.session.parcels import Parcel
from soulpad.session.stages import StageClock
from soulpad.store.workingset import WORKING_SET_NAME, Run, WorkingSet, read_working_set, write_working_set
from tests.unit.session_machine.fakes import (
    NEW,
    OLD,
    RAM_BYTES,
    WITH_KVM,
    FakeHypervisor,
    crash,
    files_in,
)

KNOWN = WorkingSet(RAM_BYTES, (Run(40, 3), Run(2, 1)))


@pytest.fixture
def known(parcel: Parcel) -> WorkingSet:
    """Added to a checkpoint that is finished."""
    write_working_set(parcel.paths.checkpoint(OLD), KNOWN)
    return KNOWN


@pytest.fixture
def prefetching(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """What is asked for."""
    asked: list[Run] = []
    monkeypatch.setattr(workingset, "prefetch", lambda _ram, runs, _stopping: asked.extend(runs))
    return asked


def resumed(machine: Any, parcel: Parcel, hypervisor: FakeHypervisor) -> Any:
    return machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))


def test_a_checkpoint_with_a_working_set_is_as_whole_as_one_without(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, known: WorkingSet, prefetching: list[Run]
) -> None:
    running = resumed(machine, parcel, hypervisor)
    running.companion.stop()
    assert hypervisor.names() == ["start", "load", "run"]
    assert prefetching == list(known.runs)


def test_the_set_goes_from_checkpoint_to_checkpoint_and_the_old_one_keeps_its_own(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, known: WorkingSet
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    machine.suspend(resumed(machine, parcel, hypervisor), StageClock("suspend"))
    assert read_working_set(parcel.paths.checkpoint(NEW), RAM_BYTES) == known
    assert parcel.current().generation == NEW
    assert files_in(parcel.paths.checkpoint(OLD)) == before


@pytest.mark.parametrize("content", [b"", b"nonsense", WorkingSet(2 * RAM_BYTES, KNOWN.runs).encode()])
def test_a_set_that_cannot_be_used_is_no_obstacle(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, prefetching: list[Run], content: bytes
) -> None:
    (parcel.paths.checkpoint(OLD) / WORKING_SET_NAME).write_bytes(content)
    assert machine.suspend(resumed(machine, parcel, hypervisor), StageClock("suspend")) == NEW
    assert prefetching == []
    assert not (parcel.paths.checkpoint(NEW) / WORKING_SET_NAME).exists()


def test_a_resume_that_fails_ends_its_prefetching(
    machine: Any,
    parcel: Parcel,
    hypervisor: FakeHypervisor,
    known: WorkingSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(workingset, "prefetch", lambda _ram, _runs, stopping: stopped.append(stopping.wait(60)))
    hypervisor.failures["load"] = CannotResume("the state is refused")
    with pytest.raises(CannotResume):
        resumed(machine, parcel, hypervisor)
    assert stopped == [True]


@pytest.mark.parametrize("end", ["suspend", "keep_disks_of_ended_guest"])
def test_nothing_is_written_beside_the_machine_once_its_files_are_committed(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    ended: list[Path] = []

    def late(live: Path, _known: object, stopping: Any) -> None:
        stopping.wait(60)
        write_working_set(live, KNOWN)
        ended.append(live)

    monkeypatch.setattr(workingset, "learn", late)
    running = resumed(machine, parcel, hypervisor)
    ways: dict[str, Callable[[], int]] = {
        "suspend": lambda: machine.suspend(running, StageClock("suspend")),
        "keep_disks_of_ended_guest": lambda: machine.keep_disks_of_ended_guest(running),
    }
    assert ways[end]() == NEW
    assert ended == [parcel.paths.live]
    has_set = (parcel.paths.checkpoint(NEW) / WORKING_SET_NAME).exists()
    assert has_set == (end == "suspend"), "a guest that was shut down has no memory to resume"


def test_a_boot_from_what_a_crash_left_does_not_inherit_the_set_of_the_lost_memory(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    crash(parcel)
    write_working_set(parcel.paths.live, KNOWN)
    machine.start_from_crash(parcel, hypervisor, WITH_KVM, StageClock("resume"), parcel.live_record())
    assert not (parcel.paths.live / WORKING_SET_NAME).exists()
