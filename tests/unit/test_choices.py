"""What only the person can decide: every question ends with a way to change nothing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from soulpad.base.errors import CannotResume
from soulpad.session.parcels import Parcel
from soulpad.session.stopping import StopRequested
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import CheckpointManifest
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription

LOADS_LIBVIRT = ("soulpad.vm.hypervisor", "soulpad.session.machine", "soulpad.session.choices")


@pytest.fixture(scope="module")
def choices() -> Iterator[Any]:
    """The module under test; libvirt, of which it needs nothing, is on the stick's host only."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("libvirt", "libvirt_qemu"):
            if importlib.util.find_spec(name) is None:
                patch.setitem(sys.modules, name, ModuleType(name))
        yield importlib.import_module("soulpad.session.choices")
        for name in LOADS_LIBVIRT:
            sys.modules.pop(name, None)


class FakeConsole:
    """A person who always chooses the same place."""

    def __init__(self, choice: int) -> None:
        self.choice = choice
        self.asked: list[tuple[str, list[str], list[str], int]] = []

    def choose(self, title: str, text: Sequence[str], options: Sequence[str], default: int = 0) -> int:
        self.asked.append((title, list(text), list(options), default))
        return self.choice


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


@pytest.fixture
def crashed(tmp_path: Path) -> Parcel:
    parcel = make_parcel(tmp_path)
    folder = parcel.paths.checkpoint(0)
    folder.mkdir(parents=True)
    (folder / "disk-0.img").write_bytes(bytes(512))
    (folder / "checkpoint.json").write_bytes(CheckpointManifest(0, None, 1763700000, (512,)).encode())
    parcel.paths.current.write_text("0\n")
    return parcel


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


@pytest.mark.parametrize(("choice", "from_disk"), [(0, False), (1, True)])
def test_after_a_crash_the_person_goes_back_or_restarts_from_the_disk(
    choices: Any, crashed: Parcel, choice: int, from_disk: bool
) -> None:
    console = FakeConsole(choice)
    assert choices.after_crash(console, STOPPING, crashed) is from_disk
    [(_, text, options, default)] = console.asked
    assert default == 0 and options[0].startswith("Go back to the disk as it was at ")
    assert "kept on the stick" in " ".join(text)


def test_after_a_crash_the_pc_can_be_switched_off_with_nothing_changed(choices: Any, crashed: Parcel) -> None:
    before = sorted(crashed.paths.folder.rglob("*"))
    with pytest.raises(StopRequested):
        choices.after_crash(FakeConsole(2), STOPPING, crashed)
    assert sorted(crashed.paths.folder.rglob("*")) == before


def test_a_refusal_is_shown_with_its_reason_and_what_helps(choices: Any) -> None:
    console = FakeConsole(0)
    choices.after_refusal(console, STOPPING, CannotResume("It does not fit.", "Use another PC."))
    [(_, text, options, _)] = console.asked
    assert text[:2] == ["It does not fit.", "Use another PC."] and len(options) == 2
    with pytest.raises(StopRequested):
        choices.after_refusal(FakeConsole(1), STOPPING, CannotResume("no"))


@pytest.mark.parametrize(("flag", "setting"), [("vmx", "VT-x"), ("svm", "SVM Mode"), (None, "AMD-V")])
def test_a_pc_without_virtualisation_is_told_the_name_of_its_makers_switch(
    choices: Any, flag: str | None, setting: str
) -> None:
    console = FakeConsole(0)
    choices.without_kvm(console, STOPPING, ThisPc(2048, False, flag))
    assert setting in console.asked[0][1][1]
    with pytest.raises(StopRequested):
        choices.without_kvm(FakeConsole(1), STOPPING, ThisPc(2048, False, flag))
