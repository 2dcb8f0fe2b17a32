"""Keys and mice that end a session: the combination, and nobody there for too long."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from soulpad.session.inputs import COMBINATION, EV_KEY, SAVE_COMBINATION, Inputs, until_over

LETTERS = [*range(1, 84), *COMBINATION]
LEFT_BUTTON, EV_SW = 0x110, 5


class FakeDevice:
    """A device on a pipe; what is written to it are its events. ``held``: its keys that are down."""

    def __init__(self, path: str, keys: list[int]) -> None:
        self.path = path
        self.held: list[int] = []
        self.closed = False
        self._keys = keys
        self._reader, self._writer = os.pipe()

    def touch(self, *held: int) -> None:
        self.held = list(held)
        os.write(self._writer, b"e")

    def pull_out(self) -> None:
        os.close(self._writer)

    def fileno(self) -> int:
        return self._reader

    def read(self) -> Iterator[bytes]:
        events = os.read(self._reader, 64)
        if not events:
            raise OSError(19, "No such device")
        return iter([events])

    def active_keys(self) -> list[int]:
        return self.held

    def capabilities(self) -> dict[int, list[int]]:
        return {EV_KEY: self._keys} if self._keys else {EV_SW: [0]}

    def close(self) -> None:
        self.closed = True
        os.close(self._reader)


class Desk:
    """The devices of a PC."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = {device.path: device for device in devices}
        self.opened: list[str] = []

    def paths(self) -> list[str]:
        return list(self.devices)

    def open(self, path: str) -> FakeDevice:
        self.opened.append(path)
        return self.devices[path]

    def inputs(self) -> Inputs:
        return Inputs(self.paths, self.open)


@pytest.fixture
def keyboard() -> FakeDevice:
    return FakeDevice("/dev/input/event0", LETTERS)


@pytest.fixture
def mouse() -> FakeDevice:
    return FakeDevice("/dev/input/event1", [LEFT_BUTTON])


def test_a_turn_without_a_touch_says_so(keyboard: FakeDevice, mouse: FakeDevice) -> None:
    assert Desk(keyboard, mouse).inputs().turn(0) is None


def test_keys_that_are_held_are_told(keyboard: FakeDevice) -> None:
    inputs = Desk(keyboard).inputs()
    keyboard.touch(29, 56)
    assert inputs.turn(0) == frozenset({29, 56})
    keyboard.touch()
    assert inputs.turn(0) == frozenset()


def test_a_mouse_counts_as_a_person(mouse: FakeDevice) -> None:
    inputs = Desk(mouse).inputs()
    mouse.touch()
    assert inputs.turn(0) is not None
    assert inputs.turn(0) is None


def test_a_lid_or_a_jack_does_not_count_as_a_person() -> None:
    lid = FakeDevice("/dev/input/event2", [])
    inputs = Desk(lid).inputs()
    lid.touch()
    assert inputs.turn(0) is None and lid.closed


def test_a_device_is_opened_once_and_a_new_one_when_it_comes(keyboard: FakeDevice, mouse: FakeDevice) -> None:
    desk = Desk(keyboard)
    inputs = desk.inputs()
    inputs.turn(0)
    desk.devices[mouse.path] = mouse
    inputs.turn(0)
    inputs.turn(0)
    assert desk.opened == [keyboard.path, mouse.path]


def test_a_keyboard_that_was_pulled_out_is_let_go_and_taken_again(keyboard: FakeDevice) -> None:
    desk = Desk(keyboard)
    inputs = desk.inputs()
    inputs.turn(0)
    keyboard.pull_out()
    assert inputs.turn(0) is None and keyboard.closed
    again = desk.devices[keyboard.path] = FakeDevice(keyboard.path, LETTERS)
    again.touch(107)
    assert inputs.turn(0) == frozenset({107})


def test_a_device_that_is_gone_before_it_is_opened_is_no_error(keyboard: FakeDevice) -> None:
    def gone(_path: str) -> FakeDevice:
        raise OSError(2, "No such file or directory")

    assert Inputs(lambda: ["/dev/input/event9"], gone).turn(0) is None


class Turns:
    """Turns of ten seconds each: what each one saw, then nothing for ever."""

    def __init__(self, *seen: frozenset[int] | None) -> None:
        self._seen = list(seen)
        self.taken = 0

    def __call__(self) -> frozenset[int] | None:
        self.taken += 1
        return self._seen.pop(0) if self._seen else None

    def seconds(self) -> float:
        return self.taken * 10.0


@pytest.mark.parametrize("others", [frozenset(), frozenset({42})])
def test_the_combination_ends_the_session_also_with_more_keys_held(others: frozenset[int]) -> None:
    turns = Turns(None, COMBINATION | others)
    assert until_over(turns, None, turns.seconds) == "keys"
    assert turns.taken == 2


def test_part_of_the_combination_ends_nothing_and_is_a_sign_of_life() -> None:
    turns = Turns(frozenset({29, 56}), None, frozenset({107}), None, None, None)
    assert until_over(turns, 30, turns.seconds) == "idle"
    assert turns.taken == 6


@pytest.mark.parametrize(("minutes", "taken"), [(1, 6), (30, 180)])
def test_nobody_there_for_so_long_ends_the_session(minutes: int, taken: int) -> None:
    turns = Turns()
    assert until_over(turns, minutes * 60, turns.seconds) == "idle"
    assert turns.taken == taken


def test_without_a_limit_nobody_there_ends_nothing() -> None:
    turns = Turns(*[None] * 5000, COMBINATION)
    assert until_over(turns, None, turns.seconds) == "keys"


def test_a_touch_at_the_last_moment_begins_the_count_anew() -> None:
    turns = Turns(None, None, frozenset())
    assert until_over(turns, 30, turns.seconds) == "idle"
    assert turns.taken == 6


def test_the_other_combination_saves_once_however_long_it_is_held() -> None:
    saved: list[int] = []
    held, part = SAVE_COMBINATION, frozenset({29, 56})
    turns = Turns(part, held, held, None, held, part, held, frozenset(), None, None, None)
    assert until_over(turns, 30, turns.seconds, lambda: saved.append(turns.taken)) == "idle"
    assert saved == [2, 7]
