"""The console's pages: rows, the passphrase field, and what keys do on each page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from hostos.programs.soulpad_console.field import LONGEST_CHARACTERS, Field
from hostos.programs.soulpad_console.pages import Choice, LayoutChoice, Message, Page, Prompt, Working
from hostos.programs.soulpad_console.rows import CHOSEN, FIELD, MORE, PLAIN, WARN, Row, fit, paragraphs, wrap

WIDTH = 64


def press(page: Page, *keys: str) -> object | None:
    """The answer of the last key."""
    return [page.key(key) for key in keys][-1]


def text_of(page: Page, width: int = WIDTH) -> str:
    return "\n".join(text for text, _ in page.body(width))


def test_text_is_broken_between_words_and_long_words_are_cut() -> None:
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("a 1234567890 b", 4) == ["a", "1234", "5678", "90 b"]


@pytest.mark.parametrize("width", [8, 20, 64])
def test_no_wrapped_line_is_wider_than_the_room(width: int) -> None:
    text = "Go back to the session as it was at the checkpoint " + "x" * 100
    assert max(len(line) for line in wrap(text, width)) <= width


def test_wrapping_loses_no_word() -> None:
    text = "what is not chosen is kept aside as its own checkpoint, never dropped"
    assert " ".join(wrap(text, 11)).split() == text.split()


def test_an_indent_is_kept_on_every_line_of_a_paragraph() -> None:
    assert [line for line, _ in paragraphs(["  one two three"], 9)] == ["  one two", "  three"]


def test_the_help_stays_when_the_text_does_not_fit() -> None:
    body: list[Row] = [(f"line {at}", PLAIN) for at in range(30)]
    shown = fit(body, [("help", PLAIN)], 10)
    assert len(shown) == 10
    assert shown[0] == body[0]
    assert shown[-2:] == [MORE, ("help", PLAIN)]


@pytest.mark.parametrize("chosen", [0, 1, 13, 28, 29])
def test_the_chosen_row_is_always_shown(chosen: int) -> None:
    body: list[Row] = [(f"option {at}", CHOSEN if at == chosen else PLAIN) for at in range(30)]
    shown = fit(body, [("help", PLAIN)], 10)
    assert (f"option {chosen}", CHOSEN) in shown
    assert len(shown) == 10


def test_a_passphrase_is_hidden_until_it_is_asked_for() -> None:
    prompt = Prompt()
    press(prompt, *"secret")
    assert "secret" not in text_of(prompt)
    assert "•" * 6 in text_of(prompt)
    press(prompt, "f3")
    assert "secret" in text_of(prompt)
    press(prompt, "f3")
    assert "secret" not in text_of(prompt)


def test_enter_gives_the_passphrase_as_it_was_edited() -> None:
    assert press(Prompt(), *"wrong", "clear", *"ríght!", "backspace", "enter") == "ríght"


def test_an_empty_passphrase_is_no_answer() -> None:
    prompt = Prompt()
    assert press(prompt, "enter") is None
    assert "Type your passphrase" in text_of(prompt)


def test_rubbing_out_an_empty_field_does_nothing() -> None:
    assert press(Prompt(), "backspace", "x", "enter") == "x"


def test_a_passphrase_ends_at_its_longest_and_says_so() -> None:
    prompt = Prompt()
    press(prompt, *"x" * LONGEST_CHARACTERS, "y")
    assert "at most 512 characters" in text_of(prompt)
    assert press(prompt, "enter") == "x" * LONGEST_CHARACTERS


def test_the_field_shows_the_end_of_a_long_passphrase() -> None:
    field = Field()
    for character in "abcdefgh":
        field.type(character)
    field.visible = True
    assert field.shown(3) == "fgh"


def test_named_keys_leave_nothing_in_a_passphrase() -> None:
    assert press(Prompt(), "a", "up", "escape", "f2", "b", "enter") == "ab"


def test_the_prompt_says_that_caps_lock_is_on() -> None:
    prompt = Prompt()
    height = len(prompt.body(WIDTH))
    assert "Caps Lock" not in text_of(prompt)
    prompt.caps_lock = True
    assert "Caps Lock is on." in text_of(prompt)
    assert len(prompt.body(WIDTH)) == height


def test_a_message_stands_above_the_field() -> None:
    rows = Prompt("That passphrase does not open this stick.").body(WIDTH)
    field = next(at for at, (_, style) in enumerate(rows) if style == FIELD)
    said = next(at for at, (text, _) in enumerate(rows) if "does not open" in text)
    assert said < field


def test_advice_stands_below_the_field_and_is_wrapped() -> None:
    prompt = Prompt("That passphrase does not open this stick.")
    bare = prompt.body(40)
    prompt.advice = ["This PC's processor lacks sse4_2. " * 4]
    rows = prompt.body(40)
    assert rows[: len(bare)] == bare
    advised = [text for text, style in rows[len(bare) :] if style == WARN]
    assert " ".join(advised).count("sse4_2.") == 4 and max(map(len, advised)) <= 40


@pytest.mark.parametrize("room", [5, 10, 19])
def test_advice_of_any_length_leaves_the_field_and_the_help_on_the_screen(room: int) -> None:
    prompt = Prompt("That passphrase does not open this stick.")
    prompt.advice = ["word " * 200] * 9
    shown = fit(prompt.body(WIDTH), prompt.foot(WIDTH), room)
    assert len(shown) == room
    assert FIELD in [style for _, style in shown]
    assert shown[-1] == prompt.foot(WIDTH)[-1]


def test_arrows_and_digits_choose_and_enter_accepts() -> None:
    def choice() -> Choice:
        return Choice("Which?", [], ["first", "second", "third"], 1)

    assert press(choice(), "enter") == 1
    assert press(choice(), "down", "enter") == 2
    assert press(choice(), "up", "up", "up", "enter") == 0
    assert press(choice(), "down", "down", "down", "enter") == 2
    assert press(choice(), "3", "enter") == 2


@pytest.mark.parametrize("key", ["0", "4", "9", "x", "²", "escape"])
def test_a_key_that_names_no_option_changes_no_choice(key: str) -> None:
    assert press(Choice("Which?", [], ["a", "b", "c"], 1), key, "enter") == 1


def test_a_long_option_is_marked_as_a_whole() -> None:
    page = Choice("Which?", [], ["a " * 60, "b"])
    marked = [text for text, style in page.body(40) if style == CHOSEN]
    assert "".join(marked).count("a") == 60
    assert max(map(len, marked)) <= 40


def test_a_letter_goes_from_layout_to_layout_and_round() -> None:
    page = LayoutChoice("Keyboard layout", [], ["Deutsch", "English", "Dansk"])
    assert press(page, "d", "enter") == 2
    assert press(page, "d", "enter") == 0
    assert press(page, "z", "enter") == 0


def test_f2_in_the_list_goes_to_the_next_layout() -> None:
    assert press(LayoutChoice("Keyboard layout", [], ["a", "b"]), "f2", "f2", "f2", "enter") == 1


def test_a_message_shows_its_title_and_every_line() -> None:
    shown = text_of(Message("Your session is saved", ["You can take the stick out.", "", "Goodbye."]))
    assert shown.split("\n") == ["Your session is saved", "", "You can take the stick out.", "", "Goodbye."]


def test_working_moves_with_time_and_begins_with_its_dots() -> None:
    page = Working("Unlocking")
    shown = []
    for page.ticks in range(5):
        shown.append(page.body(WIDTH)[0][0])
    assert shown[0] == "Unlocking..."
    assert shown[4] == shown[0]
    assert len(set(shown)) == 4
