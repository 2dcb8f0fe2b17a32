"""A PC that runs the console program on a pseudo-terminal: what a person sees and types, what the service asks."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyte

from builder.oneatatime import one_at_a_time
from soulpad.base.progress import Silent
from soulpad.base.run import start
from soulpad.session.console import Console

PROGRAM = Path(__file__).parents[2] / "hostos/programs/soulpad_console"
PATIENCE_SECONDS = 30.0  # a failure's length, never waited for otherwise
QUIET_SECONDS = 0.3
DRAWING_SECONDS = 0.05  # between two parts of one drawing, also on a busy machine
F2, F3, F4, F5 = "\x1b[[B", "\x1b[[C", "\x1b[[D", "\x1b[[E"
UP, DOWN, ENTER, CTRL_U = "\x1b[A", "\x1b[B", "\r", "\x15"
BULLET = "•"


class Pc:
    """A PC whose tty1 is a pseudo-terminal, with a person's eyes and fingers."""

    def __init__(self, folder: Path, columns: int, lines: int, options: Sequence[str], program: Sequence[str]) -> None:
        self.folder = folder
        self.screen = pyte.Screen(columns, lines)
        self._emulator = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, self.slave = os.openpty()
        self._set_size(columns, lines)
        for name in ("kmsg", "marks", "called", "ttyS5"):
            (folder / name).touch()
        (folder / "cmdline").write_text("quiet soulpad.report=ttyS5\n")
        self.script("loadkeys", 'echo "loadkeys $*" >> called')
        self.script("systemctl", 'echo "systemctl $*" >> called')
        paths = {
            "--socket": "run/console.sock", "--kmsg": "kmsg", "--marks": "marks", "--cmdline": "cmdline",
            "--dev": ".", "--loadkeys": "loadkeys", "--systemctl": "systemctl", "--systemd-up": ".",
        }  # fmt: skip
        given = [word for name, path in paths.items() for word in (name, str(folder / path))]
        with os.fdopen(os.dup(self.slave), "r+b", buffering=0) as terminal:
            self.process = start(
                [sys.executable, "-ISE", *program, *given, *options],
                stdin=terminal,
                stdout=terminal,
                env={"TERM": "linux", "LANG": "C.UTF-8"},
            )

    def script(self, name: str, body: str) -> None:
        """Puts a program in place, run in the PC's folder."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ncd {self.folder}\n{body}\n")
        path.chmod(0o755)

    def type(self, *keys: str) -> None:
        """Presses keys."""
        os.write(self.master, "".join(keys).encode())

    def look(self) -> str:
        """The screen now, whole: what is being drawn is waited for."""
        while select.select([self.master], [], [], DRAWING_SECONDS)[0]:
            content = os.read(self.master, 65536)
            self.raw += content
            self._emulator.feed(content)
        return "\n".join(self.screen.display)

    def until(self, seen: Callable[[str], bool], what: str) -> str:
        """The screen once it shows what was waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not seen(self.look()):
            assert time.monotonic() < deadline, f"never saw {what}:\n{self.look()}"
            assert self.process.poll() is None, f"the console ended:\n{self.look()}"
            select.select([self.master], [], [], 0.05)
        return self.look()

    def see(self, *words: str) -> str:
        """The screen once it shows all the words."""
        return self.until(lambda shown: all(word in shown for word in words), repr(words))

    def see_no_more(self, word: str) -> str:
        return self.until(lambda shown: word not in shown, f"{word!r} go")

    def see_ready(self) -> None:
        """Waits until keys and requests are taken."""
        self.see_report("prompt-ready")

    def see_report(self, event: str, times: int = 1) -> None:
        """Waits until the console has reported the event so often."""
        self.until(lambda _: self.read("marks").count(event) >= times, f"report {times} of {event}")

    def settle(self) -> str:
        """The screen after nothing has been drawn for a while."""
        while select.select([self.master], [], [], QUIET_SECONDS)[0]:
            self.look()
        return self.look()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def see_call(self, line: str) -> None:
        self.until(lambda _: line in self.read("called").splitlines(), f"a call of {line}")

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        self._set_size(columns, lines)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def cooked(self) -> None:
        """Does to the terminal what systemd does to the console when it starts."""
        modes = termios.tcgetattr(self.slave)
        modes[3] |= termios.ICANON | termios.ECHO | termios.ISIG
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & (termios.ECHO | termios.ICANON))

    def off(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


T = TypeVar("T")
PowerOn = Callable[..., Pc]


@contextmanager
def pcs_in(folder: Path) -> Iterator[PowerOn]:
    """Yields what powers a PC on; the PCs are off afterwards. Those of another test process wait: whoever looks at the
    screen all the time sees parts of what a program draws that gets little time."""
    pcs: list[Pc] = []

    def make(
        columns: int = 80, lines: int = 25, options: Sequence[str] = (), program: Sequence[str] = (str(PROGRAM),)
    ) -> Pc:
        pcs.append(Pc(folder, columns, lines, options, program))
        return pcs[-1]

    with one_at_a_time(PROGRAM, Silent(), "console"):
        try:
            yield make
        finally:
            for pc in pcs:
                pc.off()


class Service:
    """The session service: its questions wait in the background while the person types."""

    def __init__(self, pc: Pc) -> None:
        self.console = Console(pc.folder / "run/console.sock", connect_timeout_seconds=PATIENCE_SECONDS)
        self._pool = ThreadPoolExecutor(1)

    def passphrase(self, message: str = "") -> Future[bytes]:
        return self._pool.submit(lambda: self.console.ask_passphrase(message).passphrase.reveal())

    def choice(self, *options: str, default: int = 0) -> Future[int]:
        return self._pool.submit(self.console.choose, "Which one?", ["Think first."], options, default)

    def tell(self, call: Callable[..., None], *words: object) -> None:
        self._pool.submit(call, *words).result(PATIENCE_SECONDS)


def answer(future: Future[T]) -> T:
    return future.result(PATIENCE_SECONDS)
