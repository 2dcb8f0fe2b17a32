"""Resuming a parcel, and refusing to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import CannotResume, SoulpadError
from soulpad.session.parcels import Parcel
from soulpad.session.stages import StageClock
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    RAM_NAME,
)
from tests.unit.session_machine.fakes import (
    DISK_NAME,
    MACHINE,
    MEMORY_MIB,
    OLD,
    WITH_KVM,
    WITHOUT_KVM,
    FakeHypervisor,
    disk_only,
    files_in,
    is_clean,
    make_parcel,
    manifest_of,
)


def test_live_is_clean_while_the_device_state_is_loaded_and_no_longer_when_the_cpus_run(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert hypervisor.calls == [("start", True), ("load", True), ("run", False)]
    assert not is_clean(parcel)


def test_resume_starts_from_clones_of_disk_and_ram_and_loads_the_saved_device_state(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, given: set[Path]
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    clock = StageClock("resume")
    running = machine.resume(parcel, hypervisor, WITH_KVM, clock)
    [started] = hypervisor.machines
    assert running == machine.RunningParcel(parcel, started, hypervisor, "kvm", OLD)
    assert (started.disk, started.ram) == (parcel.paths.live / DISK_NAME, parcel.paths.live / RAM_NAME)
    assert (started.disk_at_start, started.ram_at_start) == (before[DISK_NAME], before[RAM_NAME])
    assert started.incoming and started.loaded == [before[DEVICE_STATE_NAME]]
    assert given == {started.disk, started.ram, parcel.paths.checkpoint(OLD) / DEVICE_STATE_NAME}
    assert files_in(parcel.paths.checkpoint(OLD)) == before, "the guest wrote to its clones alone"
    assert list(clock.seconds) == ["checkpoint checked and cloned", "VM process start", "VM state load", "VM resume"]


@pytest.mark.parametrize("pc", [WITH_KVM, WITHOUT_KVM])
def test_an_emulated_session_stays_emulated_on_every_pc(machine: Any, tmp_path: Path, pc: ThisPc) -> None:
    parcel = make_parcel(tmp_path, manifest_of(OLD, accelerator="qemu"))
    hypervisor = FakeHypervisor(parcel)
    running = machine.resume(parcel, hypervisor, pc, StageClock("resume"))
    assert running.accelerator == hypervisor.machines[0].accelerator == "qemu"


def test_a_machine_that_refuses_the_device_state_is_ended_and_the_checkpoint_stays(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    refusal = hypervisor.failures["load"] = CannotResume("loading the device state failed", "nothing was changed")
    with pytest.raises(CannotResume) as raised:
        machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert raised.value is refusal
    assert hypervisor.names() == ["start", "load", "kill"]
    assert files_in(parcel.paths.checkpoint(OLD)) == before
    assert parcel.current() == manifest_of(OLD)
    assert is_clean(parcel)


def test_a_machine_that_fails_in_any_way_before_it_runs_is_ended(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    hypervisor.failures["run"] = OSError("QEMU is gone")
    with pytest.raises(OSError, match="QEMU is gone"):
        machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    with pytest.raises(OSError, match="QEMU is gone"):
        machine.start_cold(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert hypervisor.names() == ["start", "load", "run", "kill", "start", "run", "kill"]


@pytest.mark.parametrize("changed", [{"memory_mib": 2 * MEMORY_MIB}, {"cpu_model": "Haswell"}, {"nic": "e1000"}])
def test_a_session_of_another_machine_never_reaches_qemu(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, changed: dict[str, Any]
) -> None:
    description = replace(parcel.description, machine=replace(MACHINE, **changed))
    with pytest.raises(CannotResume, match="not the parcel's"):
        machine.resume(replace(parcel, description=description), hypervisor, WITH_KVM, StageClock("resume"))
    assert hypervisor.calls == []
    assert parcel.current() == manifest_of(OLD)


def test_a_qemu_that_does_not_start_leaves_the_checkpoint_as_it_was(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    failure = hypervisor.failures["start"] = SoulpadError("the virtual machine did not start", "kept as it was")
    with pytest.raises(SoulpadError) as raised:
        machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert raised.value is failure
    assert hypervisor.names() == ["start"]
    assert files_in(parcel.paths.checkpoint(OLD)) == before
    assert parcel.current() == manifest_of(OLD)
    assert is_clean(parcel)


def test_after_a_refusal_the_same_checkpoint_resumes(machine: Any, parcel: Parcel, hypervisor: FakeHypervisor) -> None:
    hypervisor.failures["load"] = CannotResume("loading the device state failed")
    with pytest.raises(CannotResume):
        machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    hypervisor.failures.clear()
    assert machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume")).generation == OLD
    assert parcel.generations() == [OLD], "nothing ran, so there is nothing to keep"


@pytest.mark.parametrize("name", [RAM_NAME, DISK_NAME, DEVICE_STATE_NAME])
def test_a_checkpoint_that_is_not_whole_never_reaches_qemu(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, name: str
) -> None:
    (parcel.paths.checkpoint(OLD) / name).unlink()
    with pytest.raises(CannotResume, match=name):
        machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert hypervisor.calls == [] and not parcel.paths.live.exists()


def test_a_session_that_fits_is_given_back(machine: Any, hypervisor: FakeHypervisor) -> None:
    manifest = manifest_of(OLD)
    assert machine.require_fits(manifest, WITH_KVM, hypervisor) is manifest.suspended


@pytest.mark.parametrize(
    ("flag", "settings"),
    [
        ("vmx", ["'Intel Virtualization Technology (VT-x)'"]),
        ("svm", ["'SVM Mode (AMD-V)'"]),
        (None, ["VT-x", "AMD-V"]),
    ],
)
def test_a_session_of_kvm_names_the_firmware_setting_that_this_pc_lacks(
    machine: Any, hypervisor: FakeHypervisor, flag: str | None, settings: list[str]
) -> None:
    with pytest.raises(CannotResume, match="virtualisation") as raised:
        machine.require_fits(manifest_of(OLD), ThisPc(2048, False, flag), hypervisor)
    assert all(setting in raised.value.hint for setting in settings)


def test_a_session_of_another_qemu_is_refused_with_both_versions(machine: Any, hypervisor: FakeHypervisor) -> None:
    hypervisor.version = "QEMU 10.1.0"
    with pytest.raises(CannotResume, match=r"by QEMU 10\.0\.13.*has QEMU 10\.1\.0"):
        machine.require_fits(manifest_of(OLD), WITH_KVM, hypervisor)


def test_a_parcel_that_is_not_suspended_is_not_resumed(machine: Any, hypervisor: FakeHypervisor) -> None:
    with pytest.raises(CannotResume, match="not suspended") as raised:
        machine.require_fits(disk_only(OLD), WITH_KVM, hypervisor)
    assert "Start it" in raised.value.hint


def test_what_does_not_fit_is_refused_before_anything_is_made(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    with pytest.raises(CannotResume):
        machine.resume(parcel, hypervisor, WITHOUT_KVM, StageClock("resume"))
    assert hypervisor.calls == [] and not parcel.paths.live.exists()
    assert files_in(parcel.paths.checkpoint(OLD)) == before
