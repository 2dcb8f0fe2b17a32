"""What is only true on a real XFS, in a mount namespace: ``python -m tests.component.on_xfs WHAT DEVICE DIR``.

Each function gets the root of a mounted, empty store and asserts; test_sessions_on_xfs.py runs them.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soulpad.base.errors import CannotResume, SuspendFailed
from soulpad.base.reflink import clone
from soulpad.base.run import run
from soulpad.base.units import KIB, MIB
from soulpad.session import branches, live, retention, space
from soulpad.session.parcels import Parcel
from soulpad.session.stages import StageClock
from soulpad.store.checkpoint import DEVICE_STATE_NAME, MANIFEST_NAME, RAM_NAME
from soulpad.store.layout import RESERVE
from tests.unit import parcel_store
from tests.unit.parcel_store import NEW, OLD
from tests.unit.session_machine.fakes import FakeHypervisor, FakeMachine
from tests.unit.stand_ins import load

Scenario = Callable[[Path], None]


def shared_blocks(path: Path) -> list[bool]:
    """Of each extent of a file, whether another file has it too (filefrag(8))."""
    lines = run(["filefrag", "-v", path]).stdout.splitlines()
    return ["shared" in line for line in lines if line.split(":")[0].strip().isdecimal()]


def settle(root: Path) -> None:
    """Writes out what this store has in memory. sync(2) would wait for every other file system here."""
    run(["sync", "--file-system", root])


def random_file(path: Path, size_bytes: int) -> bytes:
    data = random.Random(size_bytes).randbytes(size_bytes)
    path.write_bytes(data)
    return data


# --- clones


def a_clone_shares_every_block_until_one_side_is_written(root: Path) -> None:
    source, target = root / "source", root / "target"
    data = random_file(source, 8 * MIB)
    clone(source, target)
    assert target.read_bytes() == data
    assert all(shared_blocks(source)) and all(shared_blocks(target))
    with target.open("r+b") as file:
        file.seek(MIB)
        file.write(bytes(4 * KIB))
    settle(root)
    assert source.read_bytes() == data
    assert target.read_bytes() == data[:MIB] + bytes(4 * KIB) + data[MIB + 4 * KIB :]
    assert set(shared_blocks(target)) == {True, False}


def a_clone_of_a_large_file_takes_next_to_no_room(root: Path) -> None:
    random_file(root / "source", 64 * MIB)
    settle(root)
    before = space.free_bytes(root)
    for number in range(4):
        clone(root / "source", root / f"clone-{number}")
    settle(root)
    assert before - space.free_bytes(root) < MIB


def a_clone_has_what_was_written_just_before(root: Path) -> None:
    data = random_file(root / "source", 3 * MIB + 1)
    clone(root / "source", root / "clone")
    assert (root / "clone").read_bytes() == data


def a_clone_over_another_file_replaces_all_of_it(root: Path) -> None:
    data = random_file(root / "source", 5 * KIB)
    random_file(root / "target", MIB)
    clone(root / "source", root / "target")
    assert (root / "target").read_bytes() == data


def a_clone_on_another_file_system_has_the_same_bytes(root: Path) -> None:
    data = random_file(root / "source", MIB)
    other = root / "other"
    other.mkdir()
    run(["mount", "-t", "tmpfs", "tmpfs", other])
    clone(root / "source", other / "target")
    assert (other / "target").read_bytes() == data


# --- identity


def a_reflink_clone_of_another_checkpoints_file_is_noticed(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    parcel_store.commit_with_identity(parcel, NEW)
    for name in (RAM_NAME, "disk-0.img", DEVICE_STATE_NAME):
        saved = parcel.paths.checkpoint(NEW) / name
        aside = saved.with_name("aside")
        saved.rename(aside)
        clone(parcel.paths.checkpoint(OLD) / name, saved)
        parcel_store.require_refused(parcel, NEW, name)
        saved.unlink()
        clone(aside, saved)  # even a clone of the very file: nobody can know what became of it
        parcel_store.require_refused(parcel, NEW, name)
        aside.replace(saved)
        assert parcel.verified(NEW).generation == NEW


def a_branch_shares_its_blocks_and_goes_its_own_way(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    second = branches.branch(parcel, parcel.current(), "work (2)")
    name = parcel.paths.checkpoint(OLD) / RAM_NAME
    twin = second.paths.checkpoint(branches.FIRST_GENERATION) / RAM_NAME
    assert all(shared_blocks(name)) and all(shared_blocks(twin)) and shared_blocks(twin)
    retention.remove(parcel, OLD)
    assert second.current().generation == branches.FIRST_GENERATION
    assert parcel_store.moments_in(second.paths.checkpoint(branches.FIRST_GENERATION)) == {OLD}


# --- room


def fill(root: Path) -> None:
    """Until there is room for nothing: no block, no new file."""
    stuffing = root / "stuffing"
    stuffing.mkdir()
    count = 0
    with (stuffing / "large").open("wb") as file:
        for piece_bytes in (64 * MIB, MIB, 64 * KIB, 4 * KIB):
            while True:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), piece_bytes)
                except OSError:
                    break
    while True:
        try:
            (stuffing / f"small-{count}").write_bytes(b"x")
        except OSError:
            return
        count += 1


def add_large(parcel: Parcel, moment: int, size_bytes: int) -> None:
    """A whole checkpoint with a large file beside it (what stands in for RAM that is shared with no other)."""
    parcel_store.add_checkpoint(parcel, moment)
    with (parcel.paths.checkpoint(moment) / "working-set").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)


def no_more_checkpoints_go_than_room_is_wanted(root: Path) -> None:
    parcel = parcel_store.make_parcel(root, 9)
    for moment in range(1, 9):
        add_large(parcel, moment, 24 * MIB)
    settle(root)
    assert space.make_room(parcel, space.free_bytes(root) + 16 * MIB)
    assert parcel.generations() == list(range(2, 10))


def room_that_the_reserve_gave_back_is_there_at_once(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    space.keep_reserve(root)
    fill(root)
    assert space.make_room_to_save(parcel)
    assert not (root / RESERVE).exists()


def machine_module() -> Any:
    """soulpad.session.machine; its fakes take the place of all that libvirt does."""
    machine = load("soulpad.session.machine")
    machine.own_for_vm = lambda _paths: None
    return machine


def running_on(machine: Any, parcel: Parcel, state_bytes: int) -> Any:
    """A parcel whose VM runs and whose device state takes so much; it fails as QEMU does where there is no room."""
    live.begin_live(parcel, parcel.current(), with_ram=True)
    live.withdraw_clean(parcel)

    class Saving(FakeMachine):
        def __init__(self) -> None:
            self.note = FakeHypervisor(parcel).note

        def save_device_state(self, path: Path) -> None:
            try:
                path.write_bytes(b"s" * state_bytes)
            except OSError as error:
                raise CannotResume(f"saving the device state failed: {error.strerror}") from error

    return machine.RunningParcel(parcel, Saving(), FakeHypervisor(parcel), "kvm", OLD)


def a_suspend_on_a_full_stick_has_its_room_from_the_reserve(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    space.keep_reserve(root)
    machine = machine_module()
    running = running_on(machine, parcel, 8 * MIB)
    fill(root)
    assert machine.suspend(running, StageClock("suspend")) == NEW
    assert parcel.current().generation == NEW
    assert (parcel.paths.checkpoint(NEW) / DEVICE_STATE_NAME).stat().st_size == 8 * MIB
    assert not (root / RESERVE).exists()


def a_suspend_on_a_full_stick_takes_old_checkpoints_before_the_reserve(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    for moment in (1, 2, 3):
        add_large(parcel, moment, 40 * MIB)
    space.keep_reserve(root)
    machine = machine_module()
    running = running_on(machine, parcel, 8 * MIB)
    fill(root)
    assert machine.suspend(running, StageClock("suspend")) == NEW
    assert parcel.current().generation == NEW
    assert parcel.generations() == [3, OLD, NEW]
    assert (root / RESERVE).exists()


def a_guard_ends_the_session_before_the_stick_is_full(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    for moment in (2, 3):
        add_large(parcel, moment, 40 * MIB)
    settle(root)
    ended = threading.Event()
    space.LOOK_SECONDS = 0.01
    guard = space.RoomGuard(parcel, ended.set)
    guard.start()
    with (root / "the guest").open("wb") as file:
        while not ended.wait(0.01):
            if space.free_bytes(root) >= space.RUNNING_ROOM_BYTES:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), 8 * MIB)
    guard.stop()
    assert parcel.generations() == [3, OLD], "what could be done without went first"
    assert space.make_room_to_save(parcel)


def a_suspend_for_which_there_is_no_room_at_all_fails_and_keeps_what_was(root: Path) -> None:
    parcel = parcel_store.make_parcel(root)
    machine = machine_module()
    running = running_on(machine, parcel, 8 * MIB)
    fill(root)
    try:
        machine.suspend(running, StageClock("suspend"))
    except SuspendFailed as error:
        assert "could not be saved" in error.message and "next start" in error.hint
    else:
        raise AssertionError("there was room after all")
    parcel_store.require_whole(parcel, OLD)
    record = parcel.live_record()
    assert record and not record.clean
    assert not (parcel.paths.live / MANIFEST_NAME).exists()


SCENARIOS: dict[str, Scenario] = {
    function.__name__: function
    for function in (
        a_clone_shares_every_block_until_one_side_is_written,
        a_clone_of_a_large_file_takes_next_to_no_room,
        a_clone_has_what_was_written_just_before,
        a_clone_over_another_file_replaces_all_of_it,
        a_clone_on_another_file_system_has_the_same_bytes,
        a_reflink_clone_of_another_checkpoints_file_is_noticed,
        a_branch_shares_its_blocks_and_goes_its_own_way,
        no_more_checkpoints_go_than_room_is_wanted,
        room_that_the_reserve_gave_back_is_there_at_once,
        a_suspend_on_a_full_stick_has_its_room_from_the_reserve,
        a_suspend_on_a_full_stick_takes_old_checkpoints_before_the_reserve,
        a_guard_ends_the_session_before_the_stick_is_full,
        a_suspend_for_which_there_is_no_room_at_all_fails_and_keeps_what_was,
    )
}


if __name__ == "__main__":
    run(["mount", "-t", "xfs", sys.argv[2], sys.argv[3]])
    SCENARIOS[sys.argv[1]](Path(sys.argv[3]))
