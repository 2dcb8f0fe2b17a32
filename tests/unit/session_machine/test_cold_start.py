"""Starting a parcel from a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import SoulpadError
from soulpad.session.parcels import LiveRecord, Parcel
from soulpad.session.stages import StageClock
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import (
    RAM_NAME,
)
from tests.unit.session_machine.fakes import (
    DISK_BYTES,
    DISK_NAME,
    MEMORY_MIB,
    OLD,
    RAM_BYTES,
    WITH_KVM,
    WITHOUT_KVM,
    FakeHypervisor,
    add_checkpoint,
    content,
    crash,
    files_in,
    is_clean,
    manifest_of,
    written_over,
)


def test_a_cold_start_has_ram_of_the_machines_size_and_all_holes(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, given: set[Path]
) -> None:
    machine.start_cold(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    [started] = hypervisor.machines
    assert started.ram == parcel.paths.live / RAM_NAME
    assert started.ram_at_start == bytes(MEMORY_MIB << 20)
    assert started.ram_blocks_at_start == 0
    assert given == {started.disk, started.ram}


def test_a_cold_start_runs_a_clone_of_the_current_disk_and_loads_no_device_state(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    running = machine.start_cold(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    [started] = hypervisor.machines
    assert started.disk == parcel.paths.live / DISK_NAME and started.disk_at_start == before[DISK_NAME]
    assert not started.incoming
    assert hypervisor.calls == [("start", True), ("run", False)]
    assert running == machine.RunningParcel(parcel, started, hypervisor, "kvm", OLD)
    assert files_in(parcel.paths.checkpoint(OLD)) == before


@pytest.mark.parametrize(("pc", "accelerator"), [(WITH_KVM, "kvm"), (WITHOUT_KVM, "qemu")])
def test_a_cold_start_uses_what_this_pc_has(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, pc: ThisPc, accelerator: str
) -> None:
    running = machine.start_cold(parcel, hypervisor, pc, StageClock("resume"))
    assert running.accelerator == hypervisor.machines[0].accelerator == accelerator


def test_a_cold_start_that_fails_leaves_the_suspended_checkpoint_as_it_was(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    hypervisor.failures["start"] = SoulpadError("the virtual machine did not start")
    with pytest.raises(SoulpadError, match="did not start"):
        machine.start_cold(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert files_in(parcel.paths.checkpoint(OLD)) == before
    assert parcel.current() == manifest_of(OLD) and is_clean(parcel)


def test_a_start_from_a_crashed_session_keeps_its_disk_and_drops_its_ram(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    crash(parcel)
    machine.start_from_crash(parcel, hypervisor, WITH_KVM, StageClock("resume"), parcel.live_record())
    [started] = hypervisor.machines
    assert started.disk == parcel.paths.live / DISK_NAME
    assert started.disk_at_start == written_over(content(OLD, DISK_BYTES))
    assert started.ram_at_start == bytes(RAM_BYTES) and started.ram_blocks_at_start == 0
    assert not started.incoming and parcel.generations() == [OLD]


def test_a_crashed_session_is_never_called_clean_again_and_remembers_where_it_came_from(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    add_checkpoint(parcel, manifest_of(3))
    crash(parcel, generation=3)
    running = machine.start_from_crash(parcel, hypervisor, WITH_KVM, StageClock("resume"), parcel.live_record())
    assert hypervisor.calls == [("start", False), ("run", False)]
    assert running.generation == 3
    assert parcel.live_record() == LiveRecord(3, clean=False, began_at=1763700000)


def test_a_crashed_session_whose_start_fails_keeps_its_disk(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    crash(parcel)
    hypervisor.failures["start"] = SoulpadError("the virtual machine did not start")
    with pytest.raises(SoulpadError, match="did not start"):
        machine.start_from_crash(parcel, hypervisor, WITH_KVM, StageClock("resume"), parcel.live_record())
    assert (parcel.paths.live / DISK_NAME).read_bytes() == written_over(content(OLD, DISK_BYTES))
    assert not is_clean(parcel)
