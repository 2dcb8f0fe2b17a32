"""The terminal: draws a page as a centred box, reads keys, and survives what else touches the terminal.

Before and while systemd starts, others do touch it: systemd resets the console to cooked mode with echo (a typed
passphrase would be readable), a graphics driver taking over changes the size, the kernel prints. So ``keep`` looks
after the terminal at every tick instead of waiting to be told.
"""

from __future__ import annotations

import _locale
import curses
import fcntl
import os
import struct
import termios

from .pages import Page
from .rows import BOLD, CHOSEN, FIELD, PLAIN, WARN, fit

WIDEST_TEXT = 64
REPAINT_TICKS = 10
TITLE = " SoulPad "

KEY_NAMES = {
    "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x15": "clear", "\x1b": "escape",
    curses.KEY_ENTER: "enter", curses.KEY_BACKSPACE: "backspace", curses.KEY_UP: "up", curses.KEY_DOWN: "down",
    curses.KEY_F2: "f2", curses.KEY_F3: "f3", curses.KEY_F4: "f4", curses.KEY_F5: "f5",
}  # fmt: skip


class TerminalLost(Exception):
    """The terminal was hung up under us (vhangup(2)); it can be opened again by its name."""


def decode(read: list[int | str]) -> list[str]:
    """Names and characters of what was read in one go.

    An escape with more behind it is a key that the terminal's description does not know, or Alt with a key:
    neither may leave its letters in a passphrase.
    """
    keys: list[str] = []
    at = 0
    while at < len(read):
        item = read[at]
        at += 1
        if item == "\x1b" and at < len(read):
            at = _behind_sequence(read, at)
        elif item in KEY_NAMES:
            keys.append(KEY_NAMES[item])
        elif isinstance(item, str) and item.isprintable():
            keys.append(item)
    return keys


def _behind_sequence(read: list[int | str], at: int) -> int:
    if read[at] not in ("[", "O"):
        return at + 1
    at += 1
    while at < len(read) and not (isinstance(read[at], str) and "@" <= str(read[at]) <= "~"):
        at += 1
    return at + 1


class Screen:
    """The terminal on standard input and output, in a person's hands. Raises curses.error when it cannot be used."""

    def __init__(self) -> None:
        _locale.setlocale(_locale.LC_CTYPE, "C.UTF-8")
        os.environ.setdefault("TERM", "linux")
        os.environ["ESCDELAY"] = "50"
        self.window = curses.initscr()
        curses.raw()
        curses.noecho()
        curses.nonl()
        self.window.keypad(True)
        self.window.nodelay(True)
        self._set_colours()
        self._modes = termios.tcgetattr(0)
        self._ticks = 0
        self.drop_typed()

    def _set_colours(self) -> None:
        curses.start_color()
        curses.init_pair(1, curses.COLOR_WHITE, curses.COLOR_BLUE)
        curses.init_pair(2, curses.COLOR_BLACK, curses.COLOR_WHITE)
        curses.init_pair(3, curses.COLOR_YELLOW, curses.COLOR_BLUE)
        curses.init_pair(4, curses.COLOR_WHITE, curses.COLOR_BLACK)
        plain, inverse, warn, self._black = (curses.color_pair(number) for number in range(1, 5))
        self._styles = {
            PLAIN: plain,
            BOLD: plain | curses.A_BOLD,
            WARN: warn | curses.A_BOLD,
            FIELD: inverse,
            CHOSEN: inverse,
        }

    # --- drawing

    def draw(self, page: Page, notice: str) -> None:
        """Puts the page on the screen. ``notice``: a line below the box."""
        lines, columns = self.window.getmaxyx()
        self.window.bkgd(" ", self._styles[PLAIN])
        self.window.erase()
        width = max(8, min(WIDEST_TEXT, columns - 8))
        rows = fit(page.body(width), page.foot(width), lines - 6)
        top, left = max(0, (lines - len(rows) - 4) // 2), max(0, (columns - width - 6) // 2)
        self._box(top, left, len(rows) + 4, width + 6)
        cursor = None
        for at, (text, style) in enumerate(rows, top + 2):
            filled = style in (FIELD, CHOSEN)
            self._put(at, left + 3, text.ljust(width) if filled else text, style)
            if style == FIELD:
                cursor = (at, left + 3 + len(text))
        self._put(min(lines - 1, top + len(rows) + 4), max(0, (columns - len(notice)) // 2), notice, WARN)
        self._cursor(cursor)
        self.window.refresh()

    def blank(self) -> None:
        """Leaves an empty black screen to whoever has it next."""
        self.window.bkgd(" ", self._black)
        self.window.clear()
        curses.curs_set(0)
        self.window.refresh()

    def _put(self, line: int, column: int, text: str, style: str) -> None:
        room = max(0, self.window.getmaxyx()[1] - column - 1)
        try:
            self.window.addstr(line, column, text[:room], self._styles[style])
        except curses.error:
            return  # outside a tiny screen

    def _box(self, top: int, left: int, height: int, width: int) -> None:
        lines, columns = self.window.getmaxyx()
        if height > lines - top or width > columns - left:
            return
        frame = self.window.derwin(height, width, top, left)
        frame.box()
        self._put(top, left + 3, TITLE, BOLD)

    def _cursor(self, place: tuple[int, int] | None) -> None:
        lines, columns = self.window.getmaxyx()
        seen = place is not None and place[0] < lines and place[1] < columns
        if seen and place:
            self.window.move(*place)
        try:
            curses.curs_set(1 if seen else 0)
        except curses.error:
            return  # a terminal whose cursor cannot be hidden

    # --- keys

    def keys(self) -> list[str]:
        """The keys pressed since the last call."""
        read: list[int | str] = []
        while True:
            try:
                read.append(self.window.get_wch())
            except curses.error:
                return decode(read)

    def drop_typed(self) -> bool:
        """Forgets what was typed and not yet read; True if there was something."""
        waiting = struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, struct.pack("i", 0)))[0]
        termios.tcflush(0, termios.TCIFLUSH)
        return bool(waiting > 0)

    # --- looking after the terminal

    def keep(self) -> None:
        """Puts right what others did to the terminal. To be called at every tick, before drawing."""
        self._ticks += 1
        size = os.get_terminal_size(0)
        if size.lines > 0 and size.columns > 0 and (size.lines, size.columns) != self.window.getmaxyx():
            curses.resizeterm(size.lines, size.columns)
            self.repaint()
        elif termios.tcgetattr(0) != self._modes:
            termios.tcsetattr(0, termios.TCSANOW, self._modes)
            self.repaint()
        elif self._ticks % REPAINT_TICKS == 0:
            self.window.redrawwin()  # rewrites every cell without a flicker: kernel messages go

    def repaint(self) -> None:
        """Makes the next drawing start from a cleared screen, in our modes."""
        termios.tcsetattr(0, termios.TCSANOW, self._modes)
        self.window.clear()

    def close(self) -> None:
        """Gives the terminal back. What is on it stays."""
        try:
            curses.endwin()
        except curses.error:
            return  # it was not ours any more
