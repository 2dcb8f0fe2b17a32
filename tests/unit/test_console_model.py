"""What the console makes of keys and of the session service's requests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from hostos.programs.soulpad_console.layouts import Keyboard
from hostos.programs.soulpad_console.model import BEGUN, WANTED, Answer, Model
from hostos.programs.soulpad_console.pages import Choice, LayoutChoice, Message, Prompt, Working
from hostos.programs.soulpad_console.protocol import BadRequest, encode, parse

ASK = {"ask": "passphrase", "message": ""}
CHOICE = {"ask": "choice", "title": "Which?", "text": ["Think."], "options": ["a", "b"], "default": 1}
MESSAGE = {"show": "message", "title": "Done", "text": ["You can take the stick out."]}
WORKING = {"show": "working", "text": "Unlocking"}
ADVICE = {"show": "advice", "text": ["This PC's virtualisation is switched off."]}
HIDE = {"hide": True}
OK = {"ok": True}
POWER_OFF = {"power_off": True}


@pytest.fixture
def model() -> Model:
    return Model(Keyboard("us"))


def ask(model: Model, request: object) -> Answer | None:
    return model.request(parse(json.dumps(request).encode()))


def type_(model: Model, *keys: str) -> Answer | None:
    """The answer of the last key."""
    return [model.key(key) for key in keys][-1]


def test_the_prompt_is_there_before_anybody_asks(model: Model) -> None:
    assert isinstance(model.shown, Prompt)


def test_a_passphrase_typed_after_the_request_answers_it(model: Model) -> None:
    assert ask(model, ASK) is None
    assert type_(model, *"open", "enter") == {"passphrase": "open"}


def test_a_passphrase_entered_early_is_kept_for_the_first_request(model: Model) -> None:
    assert type_(model, *"open", "enter") is None
    assert isinstance(model.shown, Working)
    assert model.shown.text == "Checking"
    assert ask(model, ASK) == {"passphrase": "open"}


def test_an_early_passphrase_answers_one_request_only(model: Model) -> None:
    type_(model, *"open", "enter")
    ask(model, ASK)
    assert ask(model, ASK) is None
    assert isinstance(model.shown, Prompt)


def test_what_was_half_typed_stays_when_the_request_comes(model: Model) -> None:
    type_(model, *"op")
    ask(model, ASK)
    assert type_(model, *"en", "enter") == {"passphrase": "open"}


def test_a_message_empties_the_field(model: Model) -> None:
    ask(model, ASK)
    type_(model, *"wrong", "enter")
    ask(model, {"ask": "passphrase", "message": "That passphrase does not open this stick."})
    assert isinstance(model.shown, Prompt)
    assert "does not open" in model.shown.message
    assert type_(model, *"right", "enter") == {"passphrase": "right"}


def test_the_screen_says_checking_until_the_service_says_more(model: Model) -> None:
    ask(model, ASK)
    type_(model, *"open", "enter")
    assert isinstance(model.shown, Working)
    assert ask(model, WORKING) == OK
    assert isinstance(model.shown, Working)
    assert model.shown.text == "Unlocking"


def test_a_choice_is_answered_by_its_place(model: Model) -> None:
    assert ask(model, CHOICE) is None
    assert isinstance(model.shown, Choice)
    assert type_(model, "up", "enter") == {"choice": 0}


def test_a_message_and_progress_are_answered_at_once(model: Model) -> None:
    assert ask(model, MESSAGE) == OK
    assert isinstance(model.shown, Message)
    assert ask(model, WORKING) == OK


def test_hiding_lasts_until_something_is_shown_or_asked(model: Model) -> None:
    assert ask(model, HIDE) == OK
    assert model.hidden
    ask(model, WORKING)
    assert not model.hidden
    ask(model, HIDE)
    ask(model, ASK)
    assert not model.hidden


def advice_at(model: Model) -> list[str]:
    """What the prompt that is shown advises."""
    assert isinstance(model.shown, Prompt)
    return model.shown.advice


def test_advice_is_kept_for_every_prompt_until_there_is_other_advice(model: Model) -> None:
    assert ask(model, ADVICE) == OK
    assert advice_at(model) == ADVICE["text"]
    ask(model, ASK)
    type_(model, *"wrong", "enter")
    ask(model, WORKING)
    ask(model, {"ask": "passphrase", "message": "That passphrase does not open this stick."})
    assert advice_at(model) == ADVICE["text"]
    ask(model, {"show": "advice", "text": []})
    assert advice_at(model) == []


def test_advice_disturbs_neither_what_is_typed_nor_what_was_asked(model: Model) -> None:
    ask(model, ASK)
    type_(model, *"op")
    assert ask(model, ADVICE) == OK
    assert type_(model, *"en", "enter") == {"passphrase": "open"}


def test_advice_takes_no_pages_place(model: Model) -> None:
    ask(model, CHOICE)
    ask(model, ADVICE)
    assert isinstance(model.shown, Choice)
    assert type_(model, "enter") == {"choice": 1}
    ask(model, HIDE)
    assert ask(model, ADVICE) == OK
    assert model.hidden


def test_advice_leaves_a_passphrase_that_was_entered_early_and_an_open_list_alone(model: Model) -> None:
    type_(model, *"open", "enter")
    ask(model, ADVICE)
    assert ask(model, ASK) == {"passphrase": "open"}
    ask(model, ASK)
    type_(model, "f2")
    ask(model, ADVICE)
    assert isinstance(model.shown, LayoutChoice)


def test_f4_never_comes_between_a_session_and_its_advice(model: Model) -> None:
    type_(model, "f4", "f4")
    assert ask(model, ADVICE) == OK
    assert model.power == WANTED


def test_f4_needs_a_second_f4(model: Model) -> None:
    ask(model, ASK)
    assert model.key("f4") is None
    assert "F4 again" in model.notice
    assert model.key("f4") == POWER_OFF


def test_another_key_after_f4_goes_on_and_is_not_lost(model: Model) -> None:
    ask(model, ASK)
    assert type_(model, *"ab", "f4", "c") is None
    assert model.notice == ""
    assert type_(model, "f4") is None
    assert type_(model, "d", "enter") == {"passphrase": "abcd"}


def test_f4_before_the_first_request_answers_it(model: Model) -> None:
    type_(model, "f4", "f4")
    assert model.power == WANTED
    assert ask(model, ASK) == POWER_OFF
    assert model.power == BEGUN


def test_f4_during_a_choice_answers_the_choice(model: Model) -> None:
    ask(model, CHOICE)
    assert type_(model, "f4", "f4") == POWER_OFF


def test_f4_never_comes_between_a_session_and_what_it_shows(model: Model) -> None:
    ask(model, WORKING)
    type_(model, "f4", "f4")
    assert ask(model, {"show": "working", "text": "Suspending"}) == OK
    assert isinstance(model.shown, Working)
    assert model.shown.text == "Suspending"
    assert ask(model, MESSAGE) == OK
    assert ask(model, HIDE) == OK
    assert model.power == WANTED


def test_f4_forgets_a_passphrase_that_was_entered_early(model: Model) -> None:
    type_(model, *"open", "enter", "f4", "f4")
    assert ask(model, ASK) == POWER_OFF


def test_after_power_off_has_begun_no_question_is_put(model: Model) -> None:
    type_(model, "f4", "f4")
    model.power_off_begun()
    assert ask(model, CHOICE) == POWER_OFF
    assert ask(model, WORKING) == OK


def test_f4_can_be_chosen_again_when_nothing_came_of_it(model: Model) -> None:
    type_(model, "f4", "f4")
    model.power_off_begun()
    type_(model, "f4", "f4")
    assert model.power == WANTED


def test_the_prompt_outlives_the_client_and_the_next_one_gets_the_passphrase(model: Model) -> None:
    ask(model, ASK)
    type_(model, *"op")
    model.client_gone()
    assert type_(model, *"en", "enter") is None
    assert ask(model, ASK) == {"passphrase": "open"}


def test_a_passphrase_that_could_not_be_delivered_is_kept_for_the_next_client(model: Model) -> None:
    ask(model, ASK)
    model.client_gone(type_(model, *"open", "enter"))
    assert ask(model, ASK) == {"passphrase": "open"}


def test_a_power_off_that_could_not_be_delivered_is_still_wanted(model: Model) -> None:
    ask(model, ASK)
    model.client_gone(type_(model, "f4", "f4"))
    assert model.power == WANTED


def test_a_question_nobody_waits_for_goes(model: Model) -> None:
    ask(model, CHOICE)
    model.client_gone()
    assert not isinstance(model.shown, Choice)


def test_a_client_that_goes_while_the_viewer_has_the_screen_changes_nothing(model: Model) -> None:
    ask(model, HIDE)
    model.client_gone()
    assert model.hidden


def test_a_newer_request_takes_the_place_of_the_unanswered_one(model: Model) -> None:
    ask(model, CHOICE)
    ask(model, ASK)
    assert type_(model, *"b", "enter") == {"passphrase": "b"}


def test_f2_opens_the_layouts_and_keeps_what_was_typed(model: Model) -> None:
    ask(model, ASK)
    type_(model, *"op", "f2")
    assert isinstance(model.shown, LayoutChoice)
    type_(model, "f2", "enter")
    assert model.keyboard.wanted == "uk"
    assert model.keyboard.changing
    assert isinstance(model.shown, Prompt)
    assert "English (UK)" in model.shown.keyboard
    model.layout_settled(succeeded=True, keys_were_lost=False)
    assert not model.keyboard.changing
    assert type_(model, *"en", "enter") == {"passphrase": "open"}


def test_escape_leaves_the_layout_as_it_was(model: Model) -> None:
    type_(model, "f2", "down", "escape")
    assert isinstance(model.shown, Prompt)
    assert not model.keyboard.changing


def test_a_layout_that_cannot_be_loaded_is_not_shown_as_if_it_were(model: Model) -> None:
    type_(model, "f2", "down", "enter")
    model.layout_settled(succeeded=False, keys_were_lost=True)
    assert isinstance(model.shown, Prompt)
    assert model.shown.keyboard == "English (US)"
    assert "could not be set up" in model.shown.note


def test_keys_lost_while_the_layout_changed_are_told_of(model: Model) -> None:
    type_(model, "f2", "down", "enter")
    model.layout_settled(succeeded=True, keys_were_lost=True)
    assert isinstance(model.shown, Prompt)
    assert "not taken" in model.shown.note


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"ask": "name"}',
        b'{"show": ["message"]}',
        b'{"ask": "passphrase", "message": 3}',
        b'{"show": "message", "title": "x", "text": "not a list"}',
        b'{"show": "advice", "text": "not a list"}',
        b'{"show": "advice", "text": [1]}',
        b'{"ask": "choice", "title": "x", "options": []}',
        b'{"ask": "choice", "title": "x", "options": ["a"], "default": 1}',
        b'{"ask": "choice", "title": "x", "options": ["a"], "default": "0"}',
        b'{"ask": "choice", "title": "x", "options": [1]}',
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(line)


def test_nothing_in_a_request_can_steer_the_terminal() -> None:
    request = parse(json.dumps({"show": "message", "title": "a\x1b[2Jb", "text": ["c\nd"]}).encode())
    assert request.title == "a [2Jb"
    assert request.lines == ["c d"]


def test_an_answer_is_one_line_whatever_was_typed() -> None:
    line = encode({"passphrase": "a\nb\u2028é"})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"passphrase": "a\nb\u2028é"}
