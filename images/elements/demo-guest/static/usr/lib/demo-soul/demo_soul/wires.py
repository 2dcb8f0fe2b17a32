"""The two terminals: a serial port that may have no reader, and a console with a keyboard."""

from __future__ import annotations

import os
import termios

_MOST_PENDING_BYTES = 4096


class Wire:
    """A terminal in raw mode that never blocks; one that is missing or hangs up is silent."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._pending = b""
        if descriptor >= 0:
            os.set_blocking(descriptor, False)
            _make_raw(descriptor)

    @property
    def there(self) -> bool:
        return self.descriptor >= 0

    @property
    def waiting(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._pending)

    def read(self) -> bytes:
        """What has come in, perhaps nothing."""
        try:
            received = os.read(self.descriptor, 4096)
        except BlockingIOError:
            return b""
        except OSError:
            received = b""
        if not received:
            self.descriptor = -1
        return received

    def write(self, content: bytes) -> None:
        """Writes all of ``content`` or, when nobody reads, nothing of it: never half a line."""
        if self.there and len(self._pending) < _MOST_PENDING_BYTES:
            self._pending += content
        self.flush()

    def flush(self) -> None:
        """Writes what the terminal takes now."""
        while self._pending and self.there:
            try:
                self._pending = self._pending[os.write(self.descriptor, self._pending) :]
            except BlockingIOError:
                return
            except OSError:
                self.descriptor = -1


def open_wire(path: str) -> Wire:
    """The terminal at ``path``, or a silent one."""
    try:
        return Wire(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return Wire(-1)


def _make_raw(descriptor: int) -> None:
    """cfmakeraw(3), but for the output: a console wants its line feeds translated, which is how it comes."""
    try:
        mode = termios.tcgetattr(descriptor)
    except termios.error:
        return
    mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP | termios.BRKINT)
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(descriptor, termios.TCSANOW, mode)


class Lines:
    """Makes lines of typed bytes; ``typed`` is the one that is not ended yet."""

    def __init__(self) -> None:
        self.typed = ""
        self._in_escape = False

    def feed(self, received: bytes) -> list[str]:
        """Takes keys as a terminal sends them; returns the lines they end."""
        done = []
        for key in received.decode("utf-8", "ignore"):
            if self._in_escape:  # ECMA-48: a control sequence ends with a letter or ~
                self._in_escape = not (key.isalpha() or key == "~")
            elif key == "\x1b":
                self._in_escape = True
            elif key in "\r\n":
                done.append(self.typed)
                self.typed = ""
            elif key in "\x7f\b":
                self.typed = self.typed[:-1]
            elif key == "\x15":  # Ctrl-U
                self.typed = ""
            elif key.isprintable():
                self.typed += key
        return [line.strip() for line in done if line.strip()]
