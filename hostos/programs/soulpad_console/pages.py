"""The pages of the console: what each shows, and what a key does on it. No terminal in here.

A key is a printable character, or the name of another key (``screen.KEY_NAMES``).
"""

from __future__ import annotations

from .field import Field
from .rows import BLANK, BOLD, CHOSEN, FIELD, PLAIN, WARN, Row, paragraphs

POWER_OFF_HELP = "F4 power off"


class Page:
    """One screenful. ``moving``: changes with time, so it is drawn again at every tick."""

    moving = False
    help = POWER_OFF_HELP

    def body(self, width: int) -> list[Row]:
        """The rows above the help."""
        raise NotImplementedError

    def foot(self, width: int) -> list[Row]:
        """The rows that are always shown."""
        return [BLANK, *paragraphs([self.help], width)]

    def key(self, key: str) -> object | None:
        """The answer that this key completes, if it does."""
        del key
        return None


class Prompt(Page):
    """The passphrase prompt. Its answer is the passphrase."""

    help = "Enter unlocks, F2 keyboard, F3 {}, F4 power off, F5 go back"

    def __init__(self, message: str = "") -> None:
        self.field = Field()
        self.message = message
        self.note = ""
        self.caps_lock = False
        self.keyboard = ""
        self.advice: list[str] = []
        self.going_back = False

    def body(self, width: int) -> list[Row]:
        said = [*paragraphs([self.message], width, WARN), BLANK] if self.message else []
        advice = [BLANK, *paragraphs(self.advice, width, WARN)] if self.advice else []
        field_text = " " + self.field.shown(width - 3)
        return [
            *said,
            ("Passphrase", BOLD),
            (field_text, FIELD),
            ("Caps Lock is on." if self.caps_lock else "", WARN),
            (f"Keyboard: {self.keyboard}", PLAIN),
            ("Once unlocked, you choose the moment to go back to. (F5: no)" if self.going_back else "", BOLD),
            (self.note, WARN),
            *advice,
        ]

    def foot(self, width: int) -> list[Row]:
        verb = "hide" if self.field.visible else "show"
        return [BLANK, *paragraphs([self.help.format(verb)], width)]

    def key(self, key: str) -> object | None:
        self.note = ""
        if key == "enter" and len(self.field):
            return self.field.value()
        if key == "enter":
            self.note = "Type your passphrase first."
        elif key == "f3":
            self.field.visible = not self.field.visible
        elif key == "backspace":
            self.field.rub_out()
        elif key == "clear":
            self.field.clear()
        elif len(key) == 1 and not self.field.type(key):
            self.note = "A passphrase has at most 512 characters."
        return None


class Choice(Page):
    """One of several. Its answer is the place of the chosen option, from 0."""

    help = "Up and Down choose   Enter accepts   F4 power off"

    def __init__(self, title: str, text: list[str], options: list[str], default: int = 0) -> None:
        self.title, self.text, self.options = title, text, options
        self.chosen = default

    def body(self, width: int) -> list[Row]:
        rows = [*paragraphs([self.title], width, BOLD), BLANK]
        if self.text:
            rows += [*paragraphs(self.text, width), BLANK]
        for at, option in enumerate(self.options):
            style = CHOSEN if at == self.chosen else PLAIN
            number = f" {at + 1}  " if 1 < len(self.options) < 10 else " "
            lines = paragraphs([option], width - len(number), style)
            rows.append((number + lines[0][0], style))
            rows += [(" " * len(number) + line, style) for line, _ in lines[1:]]
        return rows

    def key(self, key: str) -> object | None:
        if key == "enter":
            return self.chosen
        if key == "up":
            self.chosen = max(0, self.chosen - 1)
        elif key == "down":
            self.chosen = min(len(self.options) - 1, self.chosen + 1)
        elif len(key) == 1 and key.isdecimal() and 1 <= int(key) <= len(self.options):
            self.chosen = int(key) - 1
        return None


class LayoutChoice(Choice):
    """The list of keyboard layouts, laid over the prompt; a letter goes to the next name that begins with it."""

    help = "Up, Down or a letter choose   Enter accepts   Esc back"

    def key(self, key: str) -> object | None:
        if key == "f2":
            self.chosen = (self.chosen + 1) % len(self.options)
            return None
        if len(key) == 1 and key.isalpha():
            self.chosen = self._next_beginning_with(key)
            return None
        return super().key(key)

    def _next_beginning_with(self, letter: str) -> int:
        after = [*range(self.chosen + 1, len(self.options)), *range(self.chosen + 1)]
        return next((at for at in after if self.options[at].lower().startswith(letter.lower())), self.chosen)


class Message(Page):
    """Words that stay until something else is shown."""

    def __init__(self, title: str, text: list[str]) -> None:
        self.title, self.text = title, text

    def body(self, width: int) -> list[Row]:
        return [*paragraphs([self.title], width, BOLD), BLANK, *paragraphs(self.text, width)]


class Working(Page):
    """Something goes on; dots that come and go say that the PC has not stopped."""

    moving = True

    def __init__(self, text: str) -> None:
        self.text = text
        self.ticks = 0

    def body(self, width: int) -> list[Row]:
        return [*paragraphs([self.text + "." * ((3 + self.ticks) % 4)], width, BOLD), BLANK]
