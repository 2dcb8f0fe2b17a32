"""Suspending a parcel, and keeping the disks of a guest that shut itself down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import CannotResume, SoulpadError, SuspendFailed
from soulpad.session import live, retention, space
from soulpad.session.parcels import Parcel
from soulpad.session.stages import StageClock
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    MANIFEST_NAME,
    RAM_NAME,
    SuspendedState,
    expected_files,
)
from tests.unit.session_machine.fakes import (
    DISK_BYTES,
    DISK_NAME,
    GUEST_WROTE,
    MACHINE,
    NEW,
    NEW_STATE,
    OLD,
    RAM_BYTES,
    VMM,
    WITH_KVM,
    FakeHypervisor,
    add_checkpoint,
    content,
    files_in,
    is_clean,
    manifest_of,
    written_over,
)


def test_suspend_commits_only_what_a_stopped_and_ended_machine_has_written_durably(
    machine: Any, running: Any, hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("flush", "commit"):
        monkeypatch.setattr(live, name, noted(hypervisor, name, getattr(live, name)))
    clock = StageClock("suspend")
    machine.suspend(running, clock)
    assert hypervisor.names() == ["watch no more", "pause", "save", "kill", "flush", "commit"]
    assert list(clock.seconds) == ["VM stop", "state save", "flush", "commit"]


def noted(hypervisor: FakeHypervisor, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
    """``act``, in the same list of calls as QEMU's."""

    def noting(*arguments: Any) -> Any:
        hypervisor.note(name)
        return act(*arguments)

    return noting


def test_a_suspended_session_is_the_current_checkpoint_and_vouches_for_its_device_state(
    machine: Any, parcel: Parcel, running: Any
) -> None:
    old = files_in(parcel.paths.checkpoint(OLD))
    assert machine.suspend(running, StageClock("suspend")) == NEW == parcel.current_generation()
    manifest, found = parcel.current(), files_in(parcel.paths.checkpoint(NEW))
    digest = hashlib.sha256(NEW_STATE).hexdigest()
    assert manifest.suspended == SuspendedState(RAM_BYTES, len(NEW_STATE), digest, "kvm", VMM, MACHINE)
    assert (manifest.generation, manifest.parent, manifest.disk_bytes) == (NEW, OLD, (DISK_BYTES,))
    assert found.keys() == {*expected_files(manifest), MANIFEST_NAME}
    assert found[DEVICE_STATE_NAME] == NEW_STATE
    assert {name: found[name] for name in (DISK_NAME, RAM_NAME)} == {
        name: written_over(old[name]) for name in (DISK_NAME, RAM_NAME)
    }
    assert not parcel.paths.live.exists()
    assert files_in(parcel.paths.checkpoint(OLD)) == old


def test_qemu_saves_into_an_empty_file_of_its_own_whatever_lay_there(
    machine: Any, parcel: Parcel, running: Any, given: set[Path]
) -> None:
    saved = parcel.paths.live / DEVICE_STATE_NAME
    saved.write_bytes(content(9, 2 * len(NEW_STATE)))
    machine.suspend(running, StageClock("suspend"))
    assert saved in given
    saved = parcel.paths.checkpoint(NEW) / DEVICE_STATE_NAME
    assert saved.read_bytes() == NEW_STATE
    assert saved.stat().st_mode & 0o777 == 0o600


def test_a_suspended_session_resumes_with_what_was_saved(
    machine: Any, running: Any, parcel: Parcel, hypervisor: FakeHypervisor
) -> None:
    machine.suspend(running, StageClock("suspend"))
    assert machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume")).generation == NEW
    assert hypervisor.machines[-1].loaded == [NEW_STATE]
    assert hypervisor.machines[-1].ram_at_start.startswith(GUEST_WROTE)


def test_a_new_generation_is_higher_than_any_and_its_parent_is_the_one_that_ran(
    machine: Any, parcel: Parcel, running: Any
) -> None:
    for moment in (2, 7):  # 7 was refused once, and is not current
        add_checkpoint(parcel, manifest_of(moment))
    assert machine.suspend(running, StageClock("suspend")) == 8
    assert parcel.current().parent == OLD
    assert parcel.generations() == [OLD, 7, 8], "the newest three are kept"


@pytest.mark.parametrize("step", ["pause", "save", "kill"])
def test_a_suspend_that_fails_in_qemu_leaves_the_old_checkpoint_current(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor, step: str
) -> None:
    before = files_in(parcel.paths.checkpoint(OLD))
    hypervisor.failures[step] = CannotResume(f"{step} failed", "nothing was changed")
    with pytest.raises(SoulpadError, match=f"{step} failed"):
        machine.suspend(running, StageClock("suspend"))
    assert parcel.current() == manifest_of(OLD) and parcel.generations() == [OLD]
    assert files_in(parcel.paths.checkpoint(OLD)) == before
    assert not is_clean(parcel), "what the guest wrote is asked about at the next start"
    assert live.adopt_finished_suspend(parcel) is None


def test_room_is_made_before_the_state_is_saved_and_before_its_file_is_made(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((space, "make_room_to_save"), (machine, "touch_for_vm")):
        monkeypatch.setattr(module, name, noted(hypervisor, name, getattr(module, name)))
    machine.suspend(running, StageClock("suspend"))
    assert hypervisor.names() == ["watch no more", "pause", "make_room_to_save", "touch_for_vm", "save", "kill"]


@pytest.mark.parametrize(
    ("step", "failure"),
    [
        ("save", CannotResume("saving the device state failed: No space left on device", "nothing was changed")),
        ("save", OSError(28, "No space left on device")),
        ("touch_for_vm", OSError(28, "No space left on device")),
    ],
)
def test_a_suspend_for_which_there_is_no_room_says_why_and_what_is_left(
    machine: Any,
    parcel: Parcel,
    running: Any,
    hypervisor: FakeHypervisor,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    failure: Exception,
) -> None:
    monkeypatch.setattr(machine, "touch_for_vm", noted(hypervisor, "touch_for_vm", machine.touch_for_vm))
    hypervisor.failures[step] = failure
    with pytest.raises(SuspendFailed, match=r"could not be saved: .*No space left on device\.$") as raised:
        machine.suspend(running, StageClock("suspend"))
    assert "next start" in raised.value.hint
    assert hypervisor.names()[-1] == "kill", "nothing of it keeps the store busy"
    assert parcel.current() == manifest_of(OLD) and not is_clean(parcel)


def test_a_suspend_that_could_not_save_leaves_a_disk_that_is_kept_and_a_session_to_go_back_to(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor
) -> None:
    hypervisor.failures["save"] = CannotResume("no room")
    with pytest.raises(SuspendFailed):
        machine.suspend(running, StageClock("suspend"))
    hypervisor.failures.clear()
    assert live.adopt_finished_suspend(parcel) is None
    assert machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume")).generation == OLD
    kept = parcel.paths.checkpoint(NEW)
    assert (kept / DISK_NAME).read_bytes().startswith(GUEST_WROTE) and not (kept / DEVICE_STATE_NAME).exists()


def test_the_disks_of_an_ended_guest_become_a_checkpoint_that_is_not_suspended(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor
) -> None:
    assert machine.keep_disks_of_ended_guest(running) == NEW == parcel.current_generation()
    manifest, found = parcel.current(), files_in(parcel.paths.checkpoint(NEW))
    assert (manifest.kind, manifest.parent, manifest.disk_bytes) == ("disk-only", OLD, (DISK_BYTES,))
    assert found == {
        DISK_NAME: written_over(content(OLD, DISK_BYTES)),
        MANIFEST_NAME: manifest.encode(),
    }
    assert not parcel.paths.live.exists() and hypervisor.calls == []


def test_the_disks_of_an_ended_guest_are_durable_before_they_are_current(
    machine: Any, running: Any, hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((live, "flush"), (live, "commit"), (retention, "prune")):
        monkeypatch.setattr(module, name, noted(hypervisor, name, getattr(module, name)))
    machine.keep_disks_of_ended_guest(running)
    assert hypervisor.names() == ["flush", "commit", "prune"]


def test_after_a_shutdown_the_parcel_starts_cold_from_the_disk_that_it_left(
    machine: Any, parcel: Parcel, running: Any, hypervisor: FakeHypervisor
) -> None:
    machine.keep_disks_of_ended_guest(running)
    again = machine.start_cold(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    assert again.generation == NEW
    assert hypervisor.machines[-1].disk_at_start.startswith(GUEST_WROTE)


def test_what_a_failed_suspend_left_is_no_part_of_the_disks_of_an_ended_guest(
    machine: Any, parcel: Parcel, running: Any
) -> None:
    (parcel.paths.live / DEVICE_STATE_NAME).write_bytes(b"half a state")
    machine.keep_disks_of_ended_guest(running)
    assert DEVICE_STATE_NAME not in files_in(parcel.paths.checkpoint(NEW))


def test_the_memory_of_a_machine_that_ended_by_itself_does_not_keep_the_stick_busy(
    machine: Any, running: Any, parcel: Parcel
) -> None:
    machine.drop_memory_of_ended_guest(running)
    assert not (parcel.paths.live / RAM_NAME).exists()
    assert (parcel.paths.live / DISK_NAME).read_bytes().startswith(GUEST_WROTE)
    assert not is_clean(parcel), "the next start asks how to go on"
