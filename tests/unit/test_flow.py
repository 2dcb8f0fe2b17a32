"""How a session begins: as it was left, or as the person says; whatever is not chosen stays on the stick.

QEMU only notes what it is told; the parcel, its checkpoints and the person's answers are real.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soulpad.base.errors import CannotResume, NoSpace, SoulpadError, StoreDamaged, UnknownFormat
from soulpad.session import space
from soulpad.session.parcels import Parcel, parcels_in
from soulpad.session.stages import StageClock
from soulpad.session.stopping import StopRequested
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import DEVICE_STATE_NAME, RAM_NAME
from soulpad.store.layout import PARCELS
from tests.unit.parcel_store import state_of
from tests.unit.session_machine.fakes import (
    DISK_BYTES,
    DISK_NAME,
    MEMORY_MIB,
    NEW,
    OLD,
    WITH_KVM,
    WITHOUT_KVM,
    FakeHypervisor,
    add_checkpoint,
    content,
    crash,
    disk_only,
    make_parcel,
    manifest_of,
    written_over,
)
from tests.unit.stand_ins import load


@pytest.fixture(scope="module")
def flow() -> Any:
    """The module under test."""
    return load("soulpad.session.flow")


class Person:
    """Chooses the options that begin with these words, one question after the other."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, list[str], list[str]]] = []

    def choose(self, title: str, text: Sequence[str], options: Sequence[str], _default: int = 0) -> int:
        self.asked.append((title, list(text), list(options)))
        answer = self.answers.pop(0)
        return next(place for place, option in enumerate(options) if option.startswith(answer))

    def working(self, _text: str) -> None:
        pass

    def titles(self) -> list[str]:
        return [title for title, _, _ in self.asked]


class NothingEnds:
    @contextmanager
    def interruptible(self) -> Iterator[None]:
        yield


class Laboratory:
    """A host with a parcel, whose person is yet to answer."""

    def __init__(self, flow: Any, parcel: Parcel) -> None:
        self.flow, self.parcel = flow, parcel
        self.hypervisor = FakeHypervisor(parcel)
        self.person = Person()

    def start(self, *answers: str, pc: ThisPc = WITH_KVM, go_back: bool = False) -> Any:
        self.person = Person(*answers)
        host = self.flow.Host(pc, None, self.person, self.hypervisor, NothingEnds())
        running = self.flow.start(host, self.parcel, StageClock("resume"), go_back=go_back)
        assert self.person.answers == [], "every question was asked"
        return running


@pytest.fixture
def laboratory(flow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    user = SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())
    monkeypatch.setattr(flow.machine, "pwd", SimpleNamespace(getpwnam=lambda _name: user))
    for module in (flow, flow.machine):
        monkeypatch.setattr(module, "report", lambda _event, **_facts: None)
    monkeypatch.setattr(flow.viewer, "prepare_socket_folder", lambda _user_id: None)
    monkeypatch.setattr(space, "RESERVE_BYTES", 4096)
    monkeypatch.setattr(space, "START_ROOM_BYTES", 0)
    return Laboratory(flow, make_parcel(tmp_path, manifest_of(OLD)))


BACK, RESTART, OLDER = "Go back to the session", "Restart with everything", "Choose an older"
MOMENT, SECOND = "The parcel as it was made", "Open it as a second parcel"
OFF, ANEW, ANOTHER = "Change nothing", "Start anew", "Go back to the parcel as it was made"
CRASHED_DISK = written_over(content(OLD, DISK_BYTES))


# --- as it was left


def test_a_suspended_parcel_resumes_without_a_question(laboratory: Laboratory) -> None:
    running = laboratory.start()
    assert running.generation == OLD and laboratory.hypervisor.names() == ["start", "load", "run"]
    assert laboratory.person.asked == []


def test_a_parcel_that_was_shut_down_boots_without_a_question(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, disk_only(NEW))
    laboratory.parcel.paths.current.write_text(f"{NEW}\n")
    assert laboratory.start().generation == NEW
    assert laboratory.hypervisor.names() == ["start", "run"]


def test_a_finished_suspend_that_lost_its_power_is_what_resumes(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, manifest_of(NEW))
    assert laboratory.start().generation == NEW
    assert laboratory.person.asked == [] and laboratory.parcel.current_generation() == NEW


def test_a_session_that_was_begun_and_never_ran_is_begun_again(laboratory: Laboratory) -> None:
    laboratory.hypervisor.failures["start"] = SoulpadError("QEMU did not start")
    with pytest.raises(StopRequested):
        laboratory.start(OFF)
    laboratory.hypervisor.failures.clear()
    assert laboratory.start().generation == OLD
    assert laboratory.parcel.generations() == [OLD]


def test_a_cold_start_without_kvm_is_asked_about(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, disk_only(NEW))
    laboratory.parcel.paths.current.write_text(f"{NEW}\n")
    with pytest.raises(StopRequested):
        laboratory.start(OFF, pc=WITHOUT_KVM)
    assert laboratory.hypervisor.calls == []
    assert laboratory.start("Start in slow emulation", pc=WITHOUT_KVM).accelerator == "qemu"


def test_the_reserve_is_kept_for_the_suspend(laboratory: Laboratory) -> None:
    laboratory.start()
    assert (laboratory.parcel.paths.root / "reserve").stat().st_size == 4096


def test_a_nearly_full_stick_is_said_before_anything_starts(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "START_ROOM_BYTES", 1 << 60)
    with pytest.raises(StopRequested):
        laboratory.start(OFF)
    assert laboratory.hypervisor.calls == [] and not laboratory.parcel.paths.live.exists()
    assert laboratory.start("Start all the same").generation == OLD
    assert laboratory.person.titles() == ["The stick is nearly full"]


def test_what_an_unfinished_branch_left_is_cleared_away(laboratory: Laboratory) -> None:
    stray = laboratory.parcel.paths.root / PARCELS / ".some-uuid.partial"
    (stray / "checkpoints").mkdir(parents=True)
    laboratory.start()
    assert not stray.exists()


# --- after a crash


def test_after_a_crash_going_back_keeps_the_disk_that_it_left(laboratory: Laboratory) -> None:
    crash(laboratory.parcel)
    assert laboratory.start(BACK).generation == OLD
    assert laboratory.hypervisor.names() == ["start", "load", "run"]
    kept = laboratory.parcel.verified(NEW)
    assert kept.occasion == "cut-off"
    assert (laboratory.parcel.paths.checkpoint(NEW) / DISK_NAME).read_bytes() == CRASHED_DISK


def test_after_a_crash_restarting_boots_the_disk_that_it_left_and_keeps_the_session(laboratory: Laboratory) -> None:
    crash(laboratory.parcel)
    laboratory.start(RESTART)
    [started] = laboratory.hypervisor.machines
    assert started.disk_at_start == CRASHED_DISK and started.ram_at_start == bytes(MEMORY_MIB << 20)
    assert laboratory.parcel.current() == manifest_of(OLD)


def test_after_a_crash_nothing_is_changed_by_not_choosing_and_it_is_asked_again(laboratory: Laboratory) -> None:
    crash(laboratory.parcel)
    before = state_of(laboratory.parcel.paths.folder)
    for _ in range(2):
        with pytest.raises(StopRequested):
            laboratory.start(OFF)
        assert state_of(laboratory.parcel.paths.folder) == before
    assert laboratory.person.titles() == ["The last session was cut off"]


def test_after_a_crash_with_a_damaged_checkpoint_older_ones_and_the_disk_are_left(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, manifest_of(3))
    crash(laboratory.parcel)
    (laboratory.parcel.paths.checkpoint(OLD) / RAM_NAME).write_bytes(b"short")
    assert laboratory.start(OLDER, MOMENT, "Go on from here").generation == 3
    assert [option.split()[0] for option in laboratory.person.asked[0][2]] == ["Restart", "Choose", "Change"]
    kept = laboratory.parcel.paths.checkpoint(NEW) / DISK_NAME
    assert kept.read_bytes() == CRASHED_DISK


def test_a_session_whose_record_is_damaged_is_asked_about(laboratory: Laboratory) -> None:
    crash(laboratory.parcel)
    laboratory.parcel.paths.live_session.write_bytes(b"")
    laboratory.start(BACK)
    assert laboratory.person.titles() == ["The last session was cut off"]


def test_an_older_moment_may_be_booted_from_its_disk(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, manifest_of(3))
    crash(laboratory.parcel)
    running = laboratory.start(OLDER, MOMENT, ANEW)
    [started] = laboratory.hypervisor.machines
    assert running.generation == 3 and not started.incoming
    assert started.disk_at_start == content(3, DISK_BYTES)


def test_who_wants_to_go_back_chooses_among_whole_moments_without_a_crash(laboratory: Laboratory) -> None:
    for moment in (2, 3):
        add_checkpoint(laboratory.parcel, manifest_of(moment))
    (laboratory.parcel.paths.checkpoint(3) / RAM_NAME).unlink()
    with pytest.raises(StopRequested):
        laboratory.start(OFF, go_back=True)
    assert len(laboratory.person.asked[0][2]) == 3, "two whole moments, and changing nothing"
    assert laboratory.start(MOMENT, "Go on from here", go_back=True).generation == OLD


def test_who_wants_to_go_back_after_a_crash_is_asked_about_the_crash(laboratory: Laboratory) -> None:
    crash(laboratory.parcel)
    laboratory.start(RESTART, go_back=True)
    assert laboratory.hypervisor.machines[0].disk_at_start == CRASHED_DISK


# --- what cannot be resumed


def test_what_this_pc_cannot_resume_is_started_anew_only_when_the_person_says_so(laboratory: Laboratory) -> None:
    before = state_of(laboratory.parcel.paths.checkpoint(OLD))
    with pytest.raises(StopRequested):
        laboratory.start(OFF, pc=WITHOUT_KVM)
    assert laboratory.hypervisor.calls == [] and not laboratory.parcel.paths.live.exists()
    running = laboratory.start(ANEW, pc=WITHOUT_KVM)
    assert running.accelerator == "qemu" and laboratory.hypervisor.names() == ["start", "run"]
    assert state_of(laboratory.parcel.paths.checkpoint(OLD)) == before


def test_of_older_moments_only_those_that_this_pc_can_resume_are_offered(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, manifest_of(2, "qemu"))
    add_checkpoint(laboratory.parcel, manifest_of(3))
    running = laboratory.start(ANOTHER, pc=WITHOUT_KVM)
    assert (running.generation, running.accelerator) == (2, "qemu")
    [(_, text, options)] = laboratory.person.asked
    assert "virtualisation" in text[0]
    assert [option.split()[0] for option in options] == ["Go", "Start", "Change"]


def test_a_damaged_checkpoint_is_said_by_name_and_its_whole_disk_may_be_booted(laboratory: Laboratory) -> None:
    (laboratory.parcel.paths.checkpoint(OLD) / DEVICE_STATE_NAME).unlink()
    running = laboratory.start(ANEW)
    [(title, text, _)] = laboratory.person.asked
    assert title == "This session cannot be resumed" and DEVICE_STATE_NAME in text[0]
    assert running.generation == OLD and laboratory.hypervisor.names() == ["start", "run"]


def test_a_state_that_qemu_refuses_is_asked_about_and_stays(laboratory: Laboratory) -> None:
    laboratory.hypervisor.failures["load"] = CannotResume("loading the device state failed", "nothing was changed")
    with pytest.raises(StopRequested):
        laboratory.start(OFF)
    assert laboratory.hypervisor.names() == ["start", "load", "kill"]
    assert laboratory.parcel.current() == manifest_of(OLD)
    assert laboratory.start(ANEW).generation == OLD


def test_where_nothing_at_all_is_whole_the_pc_can_be_switched_off(laboratory: Laboratory) -> None:
    for name in (DISK_NAME, RAM_NAME):
        (laboratory.parcel.paths.checkpoint(OLD) / name).unlink()
    before = state_of(laboratory.parcel.paths.folder)
    with pytest.raises(StopRequested):
        laboratory.start(OFF)
    [(_, _, options)] = laboratory.person.asked
    assert len(options) == 1 and state_of(laboratory.parcel.paths.folder) == before


def test_a_parcel_that_names_no_current_checkpoint_is_refused_and_left_alone(laboratory: Laboratory) -> None:
    laboratory.parcel.paths.current.write_text("")
    before = state_of(laboratory.parcel.paths.folder)
    with pytest.raises(StoreDamaged):
        laboratory.start()
    assert state_of(laboratory.parcel.paths.folder) == before


def test_a_session_that_a_later_version_left_is_dropped_by_no_choice(laboratory: Laboratory) -> None:
    crash(laboratory.parcel)
    record = laboratory.parcel.paths.live_session
    record.write_bytes(record.read_bytes().replace(b"soulpad-live/1", b"soulpad-live/2"))
    for answer in (ANEW, ANOTHER):
        with pytest.raises(UnknownFormat):
            laboratory.start(answer)
        assert (laboratory.parcel.paths.live / DISK_NAME).read_bytes() == CRASHED_DISK
    assert laboratory.hypervisor.calls == []


def test_a_choice_that_fails_too_is_said_and_not_tried_for_ever(laboratory: Laboratory) -> None:
    laboratory.hypervisor.failures["start"] = SoulpadError("QEMU did not start")
    with pytest.raises(SoulpadError, match="did not start"):
        laboratory.start(ANEW)
    assert laboratory.hypervisor.names() == ["start", "start"]
    assert laboratory.parcel.current() == manifest_of(OLD)


# --- a second parcel


def test_an_older_moment_opened_as_a_second_parcel_resumes_there_and_leaves_the_first_alone(
    laboratory: Laboratory,
) -> None:
    parcel = laboratory.parcel
    add_checkpoint(parcel, manifest_of(3))
    crash(parcel)
    before = state_of(parcel.paths.folder)
    running = laboratory.start(OLDER, MOMENT, SECOND)
    [first, second] = parcels_in(parcel.paths.root)
    assert (first.description.name, second.description.name) == ("work", "work (2)")
    assert running.parcel == second and running.generation == 0
    [started] = laboratory.hypervisor.machines
    assert started.incoming and started.disk_at_start == content(3, DISK_BYTES)
    assert second.paths.live in started.disk.parents
    assert state_of(parcel.paths.folder) == before, "asked about again at the next start"


def test_a_second_parcel_of_a_disk_boots(laboratory: Laboratory) -> None:
    add_checkpoint(laboratory.parcel, disk_only(3))
    crash(laboratory.parcel)
    running = laboratory.start(OLDER, MOMENT, SECOND)
    assert running.parcel.paths.uuid != laboratory.parcel.paths.uuid
    assert laboratory.hypervisor.names() == ["start", "run"]


def test_a_second_parcel_for_which_there_is_no_room_is_said_and_the_first_is_there(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise NoSpace("no space left on the disk", "free some")

    add_checkpoint(laboratory.parcel, manifest_of(3))
    crash(laboratory.parcel)
    monkeypatch.setattr(laboratory.flow.branches, "clone", full)
    answers = (OLDER, MOMENT, SECOND, OFF)
    with pytest.raises(StopRequested):
        laboratory.start(*answers)
    assert laboratory.person.asked[-1][1][0] == "no space left on the disk"
    assert [found.description.name for found in parcels_in(laboratory.parcel.paths.root)] == ["work"]
    assert (laboratory.parcel.paths.live / DISK_NAME).read_bytes() == CRASHED_DISK
