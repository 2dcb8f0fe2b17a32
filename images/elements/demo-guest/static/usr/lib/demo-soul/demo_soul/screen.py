"""What a person sees: drawn as lines of text, of which only the changed characters are written.

Each character of a text console is a write to the graphics card, which costs a virtual machine an exit, and in an
emulated PC a fraction of a millisecond.
"""

from __future__ import annotations

WIDTH = 76
_DIGITS = {
    "0": ("█████", "█   █", "█   █", "█   █", "█████"),
    "1": ("  █  ", " ██  ", "  █  ", "  █  ", "█████"),
    "2": ("█████", "    █", "█████", "█    ", "█████"),
    "3": ("█████", "    █", " ████", "    █", "█████"),
    "4": ("█   █", "█   █", "█████", "    █", "    █"),
    "5": ("█████", "█    ", "█████", "    █", "█████"),
    "6": ("█████", "█    ", "█████", "█   █", "█████"),
    "7": ("█████", "    █", "   █ ", "  █  ", "  █  "),
    "8": ("█████", "█   █", "█████", "█   █", "█████"),
    "9": ("█████", "█   █", "█████", "    █", "█████"),
}
_BOLD, _DIM, _GOOD = "\x1b[0;1;37m", "\x1b[0;36m", "\x1b[0;1;32m"
_BAD, _KEY, _PLAIN = "\x1b[0;1;31m", "\x1b[0;1;33m", "\x1b[0m"
_RULE = _DIM + "─" * WIDTH + _PLAIN


class View:
    """What is shown; plain attributes, set by the program."""

    counter = 0
    session_id = ""
    boot_id = ""
    up_seconds = 0
    time = ""
    pattern_mib = 0
    pattern_goal_mib = 0
    passes = 0
    pattern_ok = True
    letter_path = ""
    letter_found = False
    message = ""
    typed = ""


def big(number: int) -> list[str]:
    """``number`` in digits five rows high and, as a console's cells are narrow, ten columns wide."""
    digits = [_DIGITS[digit] for digit in str(number)]
    rows = ["   ".join("".join(cell * 2 for cell in digit[row]) for digit in digits) for row in range(5)]
    return [row.center(WIDTH) for row in rows]


def draw(view: View) -> list[str]:
    """The screen's lines; the last one is where typed text appears."""
    up = f"up {view.up_seconds // 3600:02}:{view.up_seconds // 60 % 60:02}:{view.up_seconds % 60:02}"
    title = " THE SOUL OF THIS MACHINE"
    return [
        _BOLD + title + _PLAIN + _DIM + up.rjust(WIDTH - len(title) - 1) + _PLAIN,
        _RULE,
        "",
        *(_GOOD + row + _PLAIN for row in big(view.counter)),
        "",
        _DIM + "seconds that this session has lived".center(WIDTH) + _PLAIN,
        _RULE,
        _row("session", view.session_id),
        _row("boot id", view.boot_id),
        _row("memory", *_memory(view)),
        _row("letter", *_letter(view)),
        _row("time", view.time),
        _row("last", view.message),
        _RULE,
        _DIM + " type  verify | write TEXT | touch MIB | pattern MIB | status" + _PLAIN,
        _KEY + " > " + _PLAIN + view.typed[-(WIDTH - 4) :] + "_",
    ]


def _row(name: str, value: str, colour: str = _PLAIN) -> str:
    return f"{_DIM} {name:<9}{_PLAIN}{colour}{value[: WIDTH - 10]:<{WIDTH - 10}}{_PLAIN}"


def _memory(view: View) -> tuple[str, str]:
    if not view.pattern_ok:
        return f"{view.pattern_mib} MiB: NOT WHAT IT WAS", _BAD
    if view.pattern_mib < view.pattern_goal_mib:
        return f"{view.pattern_mib} of {view.pattern_goal_mib} MiB filled", _PLAIN
    if view.passes == 0:
        return f"{view.pattern_mib} MiB filled, not verified yet", _PLAIN
    times = "once" if view.passes == 1 else f"{view.passes} times"
    return f"{view.pattern_mib} MiB, every byte as it was: verified {times}", _GOOD


def _letter(view: View) -> tuple[str, str]:
    said = ("is there, as it was written", _GOOD) if view.letter_found else ("IS NOT WHAT WAS WRITTEN", _BAD)
    return f"{view.letter_path} {said[0]}", said[1]


class Painter:
    """Turns lines into the control sequences that bring a terminal from the last ones to these."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._size = (0, 0)

    def paint(self, lines: list[str], columns: int, rows: int) -> bytes:
        """Everything anew when the terminal's size changed, else the changed characters only."""
        fresh = (columns, rows) != self._size
        self._size = (columns, rows)
        left, top = max(0, (columns - WIDTH) // 2), max(0, (rows - len(lines)) // 2)
        known = [] if fresh else self._shown
        self._shown = list(lines)
        drawn = ""
        for row, line in enumerate(lines):
            old = known[row] if row < len(known) else ""
            if line != old:
                for column, text in changes(cells(old), cells(line)):
                    drawn += f"\x1b[{top + row + 1};{left + column + 1}H{text}"
        # The cursor is hidden: a text console's blinks, and each time the whole way to the PC's screen is gone.
        return (("\x1b[?25l\x1b[2J" if fresh else "") + drawn).encode()


def cells(line: str) -> list[str]:
    """One string a column: the character behind the sequence that sets its colour."""
    found, colour = [], ""
    for index, part in enumerate(line.split("\x1b[")):
        text = part
        if index:
            code, _, text = part.partition("m")
            colour = f"\x1b[{code}m"
        found += [colour + character for character in text]
    return found


def changes(old: list[str], new: list[str]) -> list[tuple[int, str]]:
    """What to write and from which column on; what is no longer there is overwritten with blanks."""
    blank = _PLAIN + " "
    length = max(len(old), len(new))
    old, new = (row + [blank] * (length - len(row)) for row in (old, new))
    found: list[tuple[int, str]] = []
    column = 0
    while column < length:
        if old[column] == new[column]:
            column += 1
            continue
        end = column
        while end < length and old[end] != new[end]:
            end += 1
        found.append((column, joined(new[column:end])))
        column = end
    return found


def joined(row: list[str]) -> str:
    """Cells as text: a colour is set where it changes."""
    text, colour = "", ""
    for cell in row:
        if cell[:-1] != colour:
            colour = cell[:-1]
            text += colour
        text += cell[-1]
    return text
