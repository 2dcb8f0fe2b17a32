"""What only the person can decide: every question ends with a way to change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import CannotResume
from soulpad.session.parcels import Parcel
from soulpad.session.stopping import StopRequested
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import CheckpointManifest, Occasion, SuspendedState
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from tests.unit.stand_ins import load


@pytest.fixture(scope="module")
def choices() -> Any:
    """The module under test, which needs nothing of libvirt."""
    return load("soulpad.session.choices")


class FakeConsole:
    """A person who chooses these places, one after the other."""

    def __init__(self, *choices: int) -> None:
        self.choices = list(choices)
        self.asked: list[tuple[str, list[str], list[str], int]] = []

    def choose(self, title: str, text: Sequence[str], options: Sequence[str], default: int = 0) -> int:
        self.asked.append((title, list(text), list(options), default))
        return self.choices.pop(0)


class FakeStopping:
    """Notes that the question could be interrupted."""

    def __init__(self) -> None:
        self.questions = 0

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        self.questions += 1
        yield


STOPPING = FakeStopping()


def make_parcel(root: Path, name: str = "work") -> Parcel:
    description = ParcelDescription(name, Machine(256, (Disk("disk-0.img", 512),)))
    return Parcel(ParcelPaths(root, description.uuid), description)


SUSPENDED_STATE = SuspendedState(0, 0, "", "kvm", "", Machine(256, (Disk("disk-0.img", 512),)))


def made(generation: int, occasion: Occasion = "suspend") -> CheckpointManifest:
    cold = occasion in ("created", "shut-down", "cut-off")
    state = None if cold else SUSPENDED_STATE
    return CheckpointManifest(generation, None, 1763700000 + generation, (512,), state, occasion)


def test_a_question_ends_with_changing_nothing_which_ends_the_session(choices: Any) -> None:
    console, stopping = FakeConsole(2), FakeStopping()
    with pytest.raises(StopRequested):
        choices.ask(console, stopping, "Which?", ["words"], ["one", "two"])
    assert console.asked == [("Which?", ["words"], ["one", "two", choices.SWITCH_OFF], 0)]
    assert stopping.questions == 1


@pytest.mark.parametrize("choice", [0, 1])
def test_any_other_answer_is_given_back(choices: Any, choice: int) -> None:
    assert choices.ask(FakeConsole(choice), STOPPING, "Which?", [], ["one", "two"]) == choice


def test_the_only_parcel_is_not_asked_about(choices: Any, tmp_path: Path) -> None:
    console, parcel = FakeConsole(0), make_parcel(tmp_path)
    assert choices.choose_parcel(console, STOPPING, [parcel]) is parcel
    assert console.asked == []


def test_one_of_several_parcels_is_chosen_by_name(choices: Any, tmp_path: Path) -> None:
    console, found = FakeConsole(1), [make_parcel(tmp_path, name) for name in ("home", "work")]
    assert choices.choose_parcel(console, STOPPING, found) is found[1]
    assert console.asked[0][2] == ["home", "work", choices.SWITCH_OFF]


NEWEST, OTHERS = made(7, "while-running"), [made(6), made(5, "cut-off")]


@pytest.mark.parametrize(("choice", "manifest", "cold"), [(0, NEWEST, False), (1, None, True)])
def test_after_a_crash_the_person_goes_back_or_restarts_from_the_disk(
    choices: Any, choice: int, manifest: CheckpointManifest | None, cold: bool
) -> None:
    console = FakeConsole(choice)
    assert choices.after_crash(console, STOPPING, NEWEST, []) == choices.Beginning(manifest, cold)
    [(_, text, options, default)] = console.asked
    assert default == 0 and options[0].startswith("Go back to the session as it was at ")
    assert "kept on the stick" in " ".join(text)


def test_after_a_crash_with_a_damaged_checkpoint_the_disk_and_older_moments_are_offered(choices: Any) -> None:
    console = FakeConsole(0)
    assert choices.after_crash(console, STOPPING, None, OTHERS) == choices.Beginning(None, cold=True)
    assert [option.split()[0] for option in console.asked[0][2]] == ["Restart", "Choose", "Change"]


def test_after_a_crash_the_pc_can_be_switched_off_with_nothing_chosen(choices: Any) -> None:
    with pytest.raises(StopRequested):
        choices.after_crash(FakeConsole(3), STOPPING, NEWEST, OTHERS)


@pytest.mark.parametrize(
    ("answers", "manifest", "cold", "branch"),
    [
        ((0, 0), OTHERS[0], False, False),
        ((0, 1), OTHERS[0], False, True),
        ((0, 2), OTHERS[0], True, False),
        ((1, 0), OTHERS[1], True, False),
        ((1, 1), OTHERS[1], True, True),
    ],
)
def test_an_older_moment_is_gone_on_from_branched_or_booted_anew(
    choices: Any, answers: tuple[int, ...], manifest: CheckpointManifest, cold: bool, branch: bool
) -> None:
    console = FakeConsole(*answers)
    assert choices.choose_moment(console, STOPPING, OTHERS) == choices.Beginning(manifest, cold, branch)
    moments = console.asked[0][2]
    assert "suspended" in moments[0] and "power cut" in moments[1]


def test_a_disk_without_memory_is_not_offered_to_be_booted_twice(choices: Any) -> None:
    console = FakeConsole(1, 2)
    with pytest.raises(StopRequested):
        choices.choose_moment(console, STOPPING, OTHERS)


def test_a_refusal_is_shown_with_its_reason_what_helps_and_what_can_be_had_instead(choices: Any) -> None:
    refusal = CannotResume("It does not fit.", "Use another PC.")
    console = FakeConsole(1)
    beginning = choices.after_refusal(console, STOPPING, refusal, [made(6)], made(7))
    assert beginning == choices.Beginning(made(7), cold=True)
    [(_, text, options, preselected)] = console.asked
    assert text[:2] == ["It does not fit.", "Use another PC."] and len(options) == 3
    assert options[preselected] == choices.SWITCH_OFF, "nothing is started by an Enter too many"
    assert choices.after_refusal(FakeConsole(0), STOPPING, refusal, [made(6)], made(7)) == choices.Beginning(made(6))
    with pytest.raises(StopRequested):
        choices.after_refusal(FakeConsole(0), STOPPING, refusal, [], None)


def test_a_nearly_full_stick_is_said_with_what_is_free_and_what_will_happen(choices: Any) -> None:
    console = FakeConsole(0)
    choices.with_little_room(console, STOPPING, 100 << 20)
    assert "100 MiB" in console.asked[0][1][0]
    with pytest.raises(StopRequested):
        choices.with_little_room(FakeConsole(1), STOPPING, 100 << 20)


@pytest.mark.parametrize(("flag", "setting"), [("vmx", "VT-x"), ("svm", "SVM Mode"), (None, "AMD-V")])
def test_a_pc_without_virtualisation_is_told_the_name_of_its_makers_switch(
    choices: Any, flag: str | None, setting: str
) -> None:
    console = FakeConsole(0)
    choices.without_kvm(console, STOPPING, ThisPc(2048, False, flag))
    assert setting in console.asked[0][1][1]
    with pytest.raises(StopRequested):
        choices.without_kvm(FakeConsole(1), STOPPING, ThisPc(2048, False, flag))
