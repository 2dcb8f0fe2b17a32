"""From text to key presses: QEMU's key codes on a keyboard with the US layout.

The codes are QEMU's QKeyCode (its QMP reference manual), which name keys by what a US keyboard prints on them.
"""

from __future__ import annotations

import string

from soulpad.base.errors import BadInput

Chord = tuple[str, ...]  # keys held down together, in the order in which they are pressed

_NAMED = {
    " ": "spc",
    "\n": "ret",
    "\t": "tab",
    "-": "minus",
    "=": "equal",
    "[": "bracket_left",
    "]": "bracket_right",
    "\\": "backslash",
    ";": "semicolon",
    "'": "apostrophe",
    "`": "grave_accent",
    ",": "comma",
    ".": "dot",
    "/": "slash",
}
_SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))


def chord_for(character: str) -> Chord:
    """The keys that type ``character``. Raises BadInput when a US keyboard has no such key."""
    if character in _SHIFTED:
        return ("shift", *chord_for(_SHIFTED[character]))
    if character in string.ascii_uppercase:
        return ("shift", character.lower())
    if character in string.ascii_lowercase or character in string.digits:
        return (character,)
    if character in _NAMED:
        return (_NAMED[character],)
    raise BadInput(f"{character!r} cannot be typed on a US keyboard", "use letters, digits, space and ASCII signs")


def chords_for(text: str) -> list[Chord]:
    """The key presses that type ``text``, a line break being the Enter key. Raises BadInput."""
    return [chord_for(character) for character in text]
