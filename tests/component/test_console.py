"""The console program on a real terminal: a person types, a terminal emulator shows what they would see."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from soulpad.session.console import PowerOffAsked
from tests.component.console_pc import (
    BULLET,
    CTRL_U,
    DOWN,
    ENTER,
    F3,
    F4,
    F5,
    PATIENCE_SECONDS,
    UP,
    PowerOn,
    Service,
    answer,
    pcs_in,
)

pytestmark = pytest.mark.component


@pytest.fixture
def power_on(tmp_path: Path) -> Iterator[PowerOn]:
    with pcs_in(tmp_path) as power_on:
        yield power_on


@pytest.mark.parametrize(("columns", "lines"), [(80, 25), (100, 37), (160, 50)])
def test_the_prompt_stands_in_the_middle_of_any_screen(power_on: PowerOn, columns: int, lines: int) -> None:
    pc = power_on(columns, lines)
    pc.see("SoulPad", "Passphrase", "Keyboard: English (US)", "Enter unlock", "F4 power off")
    pc.until(lambda shown: in_the_middle(shown, lines), "it in the middle")
    rows = pc.settle().split("\n")
    frame = next(row for row in rows if row.strip())
    assert abs((len(frame) - len(frame.lstrip())) - (len(frame) - len(frame.rstrip()))) <= 1
    assert pc.screen.buffer[0][0].bg == "blue"
    assert not pc.screen.cursor.hidden
    assert "Passphrase" in rows[pc.screen.cursor.y - 1]


def in_the_middle(shown: str, lines: int) -> bool:
    """Whether there is as much space above as below; not while it is being drawn."""
    drawn = [at for at, row in enumerate(shown.split("\n")) if row.strip()]
    return abs(drawn[0] - (lines - 1 - drawn[-1])) <= 1


def test_the_prompt_is_noted_where_the_boot_is_watched(power_on: PowerOn) -> None:
    pc = power_on()
    pc.until(lambda _: "prompt-ready" in pc.read("ttyS5"), "the report")
    assert [line.split()[0] for line in pc.read("marks").splitlines()] == ["prompt-drawn", "prompt-ready"]
    assert "soulpad: prompt-drawn " in pc.read("kmsg")
    assert "SOULPAD prompt-drawn " in pc.read("ttyS5")


def test_typing_shows_bullets_and_f3_shows_the_passphrase(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see("Passphrase")
    pc.type("correct")
    pc.see(BULLET * 7)
    assert b"correct" not in pc.raw
    pc.type(F3)
    pc.see("correct", "F3 hide")
    pc.type(F3, "\x7f")
    assert "correct" not in pc.see(BULLET * 6, "F3 show")
    pc.type(CTRL_U)
    pc.see_no_more(BULLET)


def test_a_passphrase_of_any_letters_reaches_the_service(power_on: PowerOn) -> None:
    pc = power_on()
    asked = Service(pc).passphrase()
    pc.see("Passphrase")
    pc.type("Gr\xfc\xdfe \u043c\u0438\u0440 ", "\x1b[24~", "\x1bx", "end", ENTER)
    assert answer(asked).decode() == "Gr\xfc\xdfe \u043c\u0438\u0440 end"
    pc.see("Checking")


def test_a_wrong_passphrase_is_said_and_can_be_tried_again(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    first = service.passphrase()
    pc.see("Passphrase")
    pc.type("wrong", ENTER)
    assert answer(first) == b"wrong"
    second = service.passphrase("That passphrase does not open this stick.")
    assert BULLET not in pc.see("That passphrase does not open this stick.", "Enter unlock")
    pc.type("right", ENTER)
    assert answer(second) == b"right"


def test_a_passphrase_entered_before_the_service_is_there_is_kept_for_it(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see("Passphrase")
    pc.type("early", ENTER)
    pc.see("Checking")
    assert answer(Service(pc).passphrase()) == b"early"


@pytest.mark.parametrize(("columns", "lines"), [(80, 25), (90, 30)])
def test_advice_comes_below_a_half_typed_passphrase_and_stays_for_the_next(
    power_on: PowerOn, columns: int, lines: int
) -> None:
    pc = power_on(columns, lines)
    pc.see_ready()
    pc.type("half")
    pc.see(BULLET * 4)
    service = Service(pc)
    advice = ["This PC's processor lacks " + "sse4_2, " * 30 + "which the parcel needs.", "It will be slower."]
    service.tell(service.console.advise, advice)
    shown = pc.see(BULLET * 4, "This PC's processor lacks", "which the parcel needs.", "It will be slower.", "F4 power")
    rows = shown.split("\n")
    assert BULLET in rows[pc.screen.cursor.y] and not pc.screen.cursor.hidden
    assert all(row[:2].strip() == row[-2:].strip() == "" for row in rows)
    asked = service.passphrase()
    pc.type("way", ENTER)
    assert answer(asked) == b"halfway"
    service.passphrase("That passphrase does not open this stick.")
    pc.see("That passphrase does not open this stick.", "It will be slower.")


def test_f5_asks_for_the_moments_also_before_the_service_is_there_and_can_be_taken_back(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see_ready()
    pc.type(F5, "early", ENTER)
    pc.see("Checking")
    service = Service(pc)
    assert service.console.ask_passphrase().go_back
    asked = service.passphrase("Another one")
    pc.see("you choose the moment")
    pc.type(F5)
    pc.see_no_more("you choose the moment")
    pc.type("again", ENTER)
    assert answer(asked) == b"again"


def test_a_choice_is_made_with_arrows_or_digits(power_on: PowerOn) -> None:
    pc = power_on(100, 37)
    service = Service(pc)
    asked = service.choice("Go back", "Restart", "Switch off", default=1)
    shown = pc.see("Which one?", "Think first.", "1  Go back", "3  Switch off")
    row = next(at for at, text in enumerate(shown.split("\n")) if "Restart" in text)
    assert pc.screen.buffer[row][shown.split("\n")[row].index("Restart")].bg == "white"
    pc.type(DOWN, DOWN, UP, UP, DOWN, ENTER)
    assert answer(asked) == 1
    asked = service.choice("Go back", "Restart")
    pc.see("2  Restart")
    pc.see_no_more("3  Switch off")
    pc.type("2", ENTER)
    assert answer(asked) == 1


def test_each_question_is_reported_once_when_its_keys_are_read(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see_ready()
    service = Service(pc)
    for time in (1, 2):
        asked = service.choice("Go back", "Restart")
        pc.see_report("choice-ready", time)
        pc.type(ENTER)  # at once
        assert answer(asked) == 0
    service.passphrase("Another one")
    pc.see_report("prompt-ready", 2)
    pc.settle()
    assert pc.read("marks").count("choice-ready") == 2


def test_a_message_stays_when_the_service_is_gone(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    service.tell(service.console.message, "Your session is saved", ["You can take the stick out."])
    service.console.close()
    pc.see("Your session is saved", "You can take the stick out.")
    pc.type("x", ENTER)
    assert "You can take the stick out." in pc.settle()


def test_progress_moves(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    service.tell(service.console.working, "Unlocking")
    pc.see("Unlocking.", "F4 power off")
    pc.until(lambda shown: "Unlocking..." in shown, "three dots")
    pc.until(lambda shown: "Unlocking." not in shown, "no dots")


def test_a_hidden_console_draws_nothing_and_takes_no_keys(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    pc.see("Passphrase")
    service.tell(service.console.hide)
    pc.until(lambda shown: not shown.strip(), "an empty screen")
    pc.settle()
    assert pc.screen.buffer[5][5].bg == "black"
    before = len(pc.raw)
    pc.type("meant for the guest", ENTER)
    pc.settle()
    assert len(pc.raw) == before
    asked = service.passphrase()
    assert BULLET not in pc.see("Passphrase", "SoulPad")
    pc.type("mine", ENTER)
    assert answer(asked) == b"mine"


def test_the_next_client_goes_on_with_what_was_typed(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see_ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
        first.connect(str(pc.folder / "run/console.sock"))
        first.sendall(b'{"ask": "passphrase", "message": "First."}\n')
        pc.see("First.")
        pc.type("half")
        pc.see(BULLET * 4)
    again = Service(pc).passphrase()
    pc.type("way", ENTER)
    assert answer(again) == b"halfway"


def test_what_is_no_request_is_answered_and_the_prompt_stays(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see_ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(pc.folder / "run/console.sock"))
        client.sendall(b'nonsense\n{"show": "working", "text": "On"}\n')
        lines = client.makefile("rb")
        assert [lines.readline(), lines.readline()] == [b'{"error": "not JSON"}\n', b'{"ok": true}\n']
    pc.see("On...")


def test_f4_twice_answers_the_question_with_power_off(power_on: PowerOn) -> None:
    pc = power_on()
    asked = Service(pc).passphrase()
    pc.see("Passphrase")
    pc.type(F4)
    pc.see("Press F4 again")
    pc.type("x")
    pc.see_no_more("Press F4 again")
    pc.type(F4, F4)
    pc.see("Powering off")
    with pytest.raises(PowerOffAsked):
        answer(asked)
    assert pc.read("called") == ""


def test_f4_before_the_service_is_there_is_told_to_it(power_on: PowerOn) -> None:
    pc = power_on(options=["--power-off-after-seconds", "600"])
    pc.see("Passphrase")
    pc.type(F4, F4)
    pc.see("Powering off")
    with pytest.raises(PowerOffAsked):
        answer(Service(pc).passphrase())


def test_f4_switches_the_pc_off_when_no_service_comes(power_on: PowerOn) -> None:
    pc = power_on(options=["--power-off-after-seconds", "0"])
    pc.see("Passphrase")
    pc.type(F4, F4)
    pc.see_call("systemctl poweroff")


def test_f4_while_something_goes_on_asks_systemd_and_not_the_service(power_on: PowerOn) -> None:
    pc = power_on(options=["--power-off-after-seconds", "600"])
    service = Service(pc)
    service.tell(service.console.working, "Starting")
    pc.see("Starting")
    pc.type(F4, F4)
    pc.see_call("systemctl poweroff")
    service.tell(service.console.working, "Suspending")
    pc.see("Suspending")
