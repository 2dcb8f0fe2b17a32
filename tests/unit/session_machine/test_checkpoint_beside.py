"""A checkpoint beside the session: of one moment, durable before it counts, and no reason to end anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import CannotResume, SoulpadError
from soulpad.session import cloneahead, live, retention
from soulpad.session.parcels import Parcel
from soulpad.session.periodic import GuestTooBusy
from soulpad.session.stages import StageClock
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    MANIFEST_NAME,
    RAM_NAME,
    CheckpointManifest,
    expected_files,
)
from tests.unit.session_machine.fakes import (
    DISK_NAME,
    GUEST_WROTE,
    MACHINE,
    NEW,
    NEW_STATE,
    OLD,
    WITH_KVM,
    WITHOUT_KVM,
    FakeHypervisor,
    disk_only,
    files_in,
    is_clean,
    manifest_of,
)

LATER = b"and went on to write"


def noted(hypervisor: FakeHypervisor, patch: pytest.MonkeyPatch, target: Any, name: str) -> None:
    """The function is noted in the same list of calls as QEMU's, and fails like them."""
    act: Callable[..., Any] = getattr(target, name)

    def noting(*arguments: Any) -> Any:
        hypervisor.note(name)
        return act(*arguments)

    patch.setattr(target, name, noting)


@pytest.fixture
def checkpoint(machine: Any, running: Any) -> Callable[[], int]:
    running.machine.writes = LATER
    return lambda: int(machine.checkpoint(running, StageClock("checkpoint")))


# --- what it is


def test_a_checkpoint_beside_the_session_is_of_the_moment_at_which_the_machine_stood_still(
    parcel: Parcel, checkpoint: Callable[[], int]
) -> None:
    assert checkpoint() == NEW == parcel.current_generation()
    manifest, found = parcel.current(), files_in(parcel.paths.checkpoint(NEW))
    assert (manifest.occasion, manifest.kind, manifest.parent) == ("while-running", "suspended", OLD)
    assert found.keys() == {*expected_files(manifest), MANIFEST_NAME}
    assert found[DEVICE_STATE_NAME] == NEW_STATE
    for name in (DISK_NAME, RAM_NAME):
        assert found[name].startswith(GUEST_WROTE)
        assert (parcel.paths.live / name).read_bytes().startswith(LATER), "the session went on"


def test_the_session_goes_on_from_it_and_its_disk_stays_one_that_a_crash_would_leave(
    parcel: Parcel, running: Any, checkpoint: Callable[[], int]
) -> None:
    checkpoint()
    record = parcel.live_record()
    assert running.generation == NEW and record and record.generation == NEW and not record.clean
    assert not (parcel.paths.live / DEVICE_STATE_NAME).exists()
    assert not (parcel.paths.live / MANIFEST_NAME).exists()
    assert parcel.paths.checkpoints.joinpath(f".{NEW}.partial").exists() is False


def test_qemu_saves_into_an_empty_file_of_its_own_beside_the_session(
    checkpoint: Callable[[], int], parcel: Parcel, given: set[Path]
) -> None:
    checkpoint()
    assert parcel.paths.checkpoint_in_progress(NEW) / DEVICE_STATE_NAME in given
    assert (parcel.paths.checkpoint(NEW) / DEVICE_STATE_NAME).stat().st_mode & 0o777 == 0o600


def test_after_a_crash_the_session_resumes_from_the_checkpoint_beside_it(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, checkpoint: Callable[[], int]
) -> None:
    checkpoint()
    assert live.adopt_finished_suspend(parcel) is None
    again = machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    [_, started] = hypervisor.machines
    assert again.generation == NEW and started.loaded == [NEW_STATE]
    assert started.ram_at_start.startswith(GUEST_WROTE) and started.disk_at_start.startswith(GUEST_WROTE)
    [kept] = [found for found in parcel.whole_checkpoints() if found.occasion == "cut-off"]
    assert (parcel.paths.checkpoint(kept.generation) / DISK_NAME).read_bytes().startswith(LATER)
    assert kept.parent == NEW


def test_a_suspend_after_it_is_its_child_and_another_one_replaces_it(
    machine: Any, parcel: Parcel, running: Any, checkpoint: Callable[[], int]
) -> None:
    assert (checkpoint(), checkpoint()) == (NEW, NEW + 1)
    assert parcel.generations() == [OLD, NEW + 1], "one made beside the session is enough"
    assert machine.suspend(running, StageClock("suspend")) == NEW + 2
    assert parcel.current().parent == NEW + 1


# --- the order


def test_what_is_dirty_is_written_before_the_machine_stands_still_and_made_durable_after_it_runs(
    hypervisor: FakeHypervisor, checkpoint: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(hypervisor, monkeypatch, os, "fsync")
    for target, name in (
        (cloneahead, "clone"),
        (live, "clone"),
        (live, "commit_beside"),
        (live, "note_generation"),
        (retention, "prune"),
    ):
        noted(hypervisor, monkeypatch, target, name)
    checkpoint()
    names = hypervisor.names()
    stood_still = names[names.index("pause") : names.index("run") + 1]
    assert stood_still == ["pause", "save", "clone", "clone", "run"], (
        "nothing waits for the stick while it stands still"
    )
    assert set(names[: names.index("pause")]) == {"fsync"}
    after = [name for name in names[names.index("run") + 1 :] if name != "fsync"]
    assert after == ["clone", "commit_beside", "note_generation", "prune"], "the clone is the working set's, a hint"


def test_a_machine_stands_still_once_and_is_never_ended(
    hypervisor: FakeHypervisor, checkpoint: Callable[[], int]
) -> None:
    checkpoint()
    assert hypervisor.names() == ["pause", "save", "run"]
    assert not any(call.live_is_clean for call in hypervisor.calls)


def test_the_stages_of_a_checkpoint_tell_how_long_the_machine_stood_still(machine: Any, running: Any) -> None:
    clock = StageClock("checkpoint")
    machine.checkpoint(running, clock)
    assert list(clock.seconds) == ["flush ahead", "VM stopped", "commit"]


@pytest.mark.parametrize(
    ("left_mib", "flushes"),
    [((90, 1), 1), ((0, 0), 1), ((200, 60, 2), 2), ((900, 400, 150, 60), 3), ((130, 128), 1), ((400, 150, 140), 2)],
)
def test_flushing_goes_on_while_it_gets_less_until_little_is_left_but_never_for_ever(
    machine: Any, running: Any, monkeypatch: pytest.MonkeyPatch, left_mib: tuple[int, ...], flushes: int
) -> None:
    flushed, left, live_folder = list[Path](), list(left_mib), running.parcel.paths.live
    monkeypatch.setattr(machine, "fsync_path", flushed.append)
    monkeypatch.setattr(machine, "dirty_bytes", lambda _parcel: left.pop(0) << 20)
    assert machine.flush_ahead(running.parcel) == left_mib[-1] << 20
    assert flushed == [live_folder / RAM_NAME, live_folder / DISK_NAME] * flushes


def test_a_small_pc_copies_less_while_the_machine_stands_still(machine: Any) -> None:
    small, middling, large = (machine.bearable_bytes(mib) for mib in (500, 1200, 16000))
    assert small < middling < large == machine.BEARABLE_BYTES


@pytest.mark.parametrize(("can_wait", "names"), [(True, []), (False, ["pause", "save", "run"])])
def test_a_guest_that_writes_faster_than_the_stick_does_not_stand_still_for_what_can_wait(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch,
    can_wait: bool, names: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(machine, "flush_ahead", lambda _parcel: machine.BEARABLE_BYTES + 1)
    with pytest.raises(GuestTooBusy) if can_wait else nullcontext():
        machine.checkpoint(running, StageClock("checkpoint"), can_wait=can_wait)
    assert hypervisor.names() == names
    assert not list(parcel.paths.checkpoints.glob(".*")), "nothing half made stays"


# --- failures


@pytest.mark.parametrize("step", ["pause", "save", "clone", "commit_beside", "set_current"])
def test_a_checkpoint_that_fails_leaves_the_old_one_current_and_the_session_running(
    machine: Any,
    parcel: Parcel,
    running: Any,
    hypervisor: FakeHypervisor,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Callable[[], int],
    step: str,
) -> None:
    for target, name in ((cloneahead, "clone"), (live, "commit_beside"), (live, "set_current")):
        noted(hypervisor, monkeypatch, target, name)
    before = files_in(parcel.paths.checkpoint(OLD))
    hypervisor.failures[step] = CannotResume(f"{step} failed", "nothing was changed")
    with pytest.raises(SoulpadError, match=f"{step} failed"):
        checkpoint()
    assert step == "pause" or "run" in hypervisor.names(), "it never stays still"
    assert "kill" not in hypervisor.names()
    assert parcel.current() == manifest_of(OLD) and files_in(parcel.paths.checkpoint(OLD)) == before
    assert running.generation == OLD and not is_clean(parcel)
    hypervisor.failures.clear()
    generation = checkpoint()
    assert generation > OLD and parcel.current().generation == generation


@pytest.mark.parametrize("step", ["pause", "save", "clone", "commit_beside"])
def test_a_checkpoint_that_fails_leaves_no_clones_that_would_make_the_guests_writes_take_room(
    parcel: Parcel,
    hypervisor: FakeHypervisor,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Callable[[], int],
    step: str,
) -> None:
    for target, name in ((cloneahead, "clone"), (live, "commit_beside")):
        noted(hypervisor, monkeypatch, target, name)
    hypervisor.failures[step] = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        checkpoint()
    assert [path.name for path in parcel.paths.checkpoints.iterdir()] == [str(OLD)]


def test_a_machine_that_does_not_go_on_is_said(
    hypervisor: FakeHypervisor, checkpoint: Callable[[], int], parcel: Parcel
) -> None:
    hypervisor.failures["run"] = CannotResume("QEMU ended")
    with pytest.raises(SoulpadError, match="QEMU ended"):
        checkpoint()
    assert parcel.current_generation() == OLD


def test_a_session_whose_checkpoint_failed_is_suspended_as_any_other(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor, checkpoint: Callable[[], int]
) -> None:
    hypervisor.failures["save"] = CannotResume("no room")
    with pytest.raises(CannotResume):
        checkpoint()
    hypervisor.failures.clear()
    assert machine.suspend(running, StageClock("suspend")) == NEW
    assert parcel.current().occasion == "suspend" and parcel.current().parent == OLD
    assert parcel.generations() == [OLD, NEW]


# --- which of them can be resumed here


def suspended(**changes: Any) -> CheckpointManifest:
    manifest = manifest_of(OLD)
    assert manifest.suspended
    return replace(manifest, suspended=replace(manifest.suspended, **changes))


@pytest.mark.parametrize(
    ("manifest", "pc", "can"),
    [
        (manifest_of(OLD), WITH_KVM, True),
        (manifest_of(OLD), WITHOUT_KVM, False),
        (manifest_of(OLD, "qemu"), WITHOUT_KVM, True),
        (manifest_of(OLD, "qemu"), WITH_KVM, True),
        (disk_only(OLD), WITH_KVM, False),
        (suspended(vmm="QEMU 9.2.0"), WITH_KVM, False),
        (suspended(ram_bytes=4096), WITH_KVM, False),
        (suspended(machine=replace(MACHINE, vcpus=2)), WITH_KVM, False),
    ],
)
def test_what_can_be_resumed_is_known_before_qemu_tries(
    machine: Any, parcel: Parcel, hypervisor: FakeHypervisor, manifest: CheckpointManifest, pc: ThisPc, can: bool
) -> None:
    assert machine.can_resume(parcel, manifest, pc, hypervisor) is can
    assert hypervisor.calls == []
