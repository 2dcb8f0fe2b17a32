"""Typing on a US keyboard."""

from __future__ import annotations

import string

import pytest

from builder.pc.keyboard import chord_for, chords_for
from soulpad.base.errors import BadInput

TYPEABLE = string.ascii_letters + string.digits + string.punctuation + " \n\t"


def test_every_printable_ascii_character_has_keys_of_its_own() -> None:
    assert len({chord_for(character) for character in TYPEABLE}) == len(TYPEABLE)


@pytest.mark.parametrize(
    ("text", "chords"),
    [
        ("aA1!", [("a",), ("shift", "a"), ("1",), ("shift", "1")]),
        ('_?"~', [("shift", "minus"), ("shift", "slash"), ("shift", "apostrophe"), ("shift", "grave_accent")]),
        ("- \n", [("minus",), ("spc",), ("ret",)]),
    ],
)
def test_text_becomes_the_keys_a_person_would_press(text: str, chords: list[tuple[str, ...]]) -> None:
    assert chords_for(text) == chords


def test_what_is_not_on_the_keyboard_is_refused() -> None:
    with pytest.raises(BadInput, match="'ü' cannot be typed"):
        chords_for("glücklich")
