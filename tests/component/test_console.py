"""The console program on a real terminal: a person types, a terminal emulator shows what they would see."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyte
import pytest

from soulpad.base.run import start
from soulpad.session.console import Console, PowerOffAsked

pytestmark = pytest.mark.component

PROGRAM = Path(__file__).parents[2] / "hostos/programs/soulpad_console"
PATIENCE_SECONDS = 30.0  # a failure's length, never waited for otherwise
QUIET_SECONDS = 0.3
F2, F3, F4, UP, DOWN, ENTER, CTRL_U = "\x1b[[B", "\x1b[[C", "\x1b[[D", "\x1b[A", "\x1b[B", "\r", "\x15"
BULLET = "•"
TIOCVHANGUP = 0x5437  # asm-generic/ioctls.h
CRASHES_ONCE = """
import sys
sys.path.append(sys.argv.pop(1))
from soulpad_console import loop, supervise
tick = loop.Console._tick
def crash(self, screen):
    loop.Console._tick = tick
    raise ValueError("the passphrase is swordfish")
def crash_when_typed(self, screen):
    if len(getattr(self.model.page, "field", "")) == 3:
        loop.Console._tick = crash
    tick(self, screen)
loop.Console._tick = crash_when_typed
supervise.main(sys.argv[1:])
"""


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
        """The screen now."""
        while select.select([self.master], [], [], 0)[0]:
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
        self.until(lambda _: "prompt-ready" in self.read("marks"), "the report of the first key's turn")

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


@pytest.fixture
def power_on(tmp_path: Path) -> Iterator[PowerOn]:
    pcs: list[Pc] = []

    def make(
        columns: int = 80, lines: int = 25, options: Sequence[str] = (), program: Sequence[str] = (str(PROGRAM),)
    ) -> Pc:
        pcs.append(Pc(tmp_path, columns, lines, options, program))
        return pcs[-1]

    yield make
    for pc in pcs:
        pc.off()


class Service:
    """The session service: its questions wait in the background while the person types."""

    def __init__(self, pc: Pc) -> None:
        self.console = Console(pc.folder / "run/console.sock", connect_timeout_seconds=PATIENCE_SECONDS)
        self._pool = ThreadPoolExecutor(1)

    def passphrase(self, message: str = "") -> Future[bytes]:
        return self._pool.submit(lambda: self.console.ask_passphrase(message).reveal())

    def choice(self, *options: str, default: int = 0) -> Future[int]:
        return self._pool.submit(self.console.choose, "Which one?", ["Think first."], options, default)

    def tell(self, call: Callable[..., None], *words: object) -> None:
        self._pool.submit(call, *words).result(PATIENCE_SECONDS)


def answer(future: Future[T]) -> T:
    return future.result(PATIENCE_SECONDS)


@pytest.mark.parametrize(("columns", "lines"), [(80, 25), (100, 37), (160, 50)])
def test_the_prompt_stands_in_the_middle_of_any_screen(power_on: PowerOn, columns: int, lines: int) -> None:
    pc = power_on(columns, lines)
    shown = pc.see("SoulPad", "Passphrase", "Keyboard: English (US)", "Enter unlock", "F4 power off")
    rows = shown.split("\n")
    drawn = [at for at, row in enumerate(rows) if row.strip()]
    assert abs(drawn[0] - (lines - 1 - drawn[-1])) <= 1
    frame = rows[drawn[0]]
    assert abs((len(frame) - len(frame.lstrip())) - (len(frame) - len(frame.rstrip()))) <= 1
    assert pc.screen.buffer[0][0].bg == "blue"
    assert not pc.screen.cursor.hidden
    assert "Passphrase" in rows[pc.screen.cursor.y - 1]


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
    pc.type("2", ENTER)
    assert answer(asked) == 1


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


def wait_for_go(pc: Pc, exit_code: int = 0) -> None:
    """Makes loadkeys take as long as the test wants."""
    os.mkfifo(pc.folder / "go")
    pc.script("loadkeys", f'echo "loadkeys $*" >> called; read go < go; exit {exit_code}')


def go(pc: Pc) -> None:
    (pc.folder / "go").write_text("\n")


def choose_spanish(pc: Pc) -> None:
    pc.type(F2)
    pc.see("Keyboard layout", "English (US)")
    pc.type("e")  # English (UK)
    pc.type("e")  # Español
    pc.type(ENTER)


def test_f2_switches_the_layout_and_keys_typed_meanwhile_are_not_read_in_the_wrong_one(power_on: PowerOn) -> None:
    pc = power_on()
    wait_for_go(pc)
    asked = Service(pc).passphrase()
    pc.see("Keyboard: English (US)")
    pc.type("ab")
    choose_spanish(pc)
    pc.see_call("loadkeys -q es")
    pc.see("Keyboard: Español (being set up)", BULLET * 2)
    pc.type("lost", ENTER)
    pc.settle()
    go(pc)
    shown = pc.see("Keys pressed meanwhile were not taken")
    assert BULLET * 2 in shown and BULLET * 3 not in shown
    assert "being set up" not in shown
    pc.type("cd", ENTER)
    assert answer(asked) == b"abcd"


def test_a_layout_that_cannot_be_loaded_leaves_the_one_before(power_on: PowerOn) -> None:
    pc = power_on()
    pc.script("loadkeys", "exit 1")
    pc.see("Passphrase")
    choose_spanish(pc)
    pc.see("Keyboard: English (US)", "could not be set up")


def test_the_enrolments_layout_is_set_up_before_the_first_key_counts(power_on: PowerOn, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    slow = tmp_path / "slow-loadkeys"
    slow.write_text(f'#!/bin/sh\necho "loadkeys $*" >> {tmp_path}/called\nread go < {tmp_path}/go\n')
    slow.chmod(0o755)
    pc = power_on(options=["--keyboard", "de", "--loadkeys", str(slow)])
    pc.see("Keyboard: Deutsch (being set up)")
    pc.see_call("loadkeys -q de-latin1-nodeadkeys")
    asked = Service(pc).passphrase()
    pc.type("lost", ENTER)
    pc.settle()
    assert "prompt-ready" not in pc.read("marks")
    go(pc)
    assert BULLET not in pc.see("not taken")
    pc.type("found", ENTER)
    assert answer(asked) == b"found"


def test_for_the_kernels_own_layout_nothing_is_loaded(power_on: PowerOn) -> None:
    pc = power_on(options=["--keyboard", "us"])
    pc.see_ready()
    assert pc.read("called") == ""


def test_a_terminal_reset_by_systemd_never_echoes_for_long(power_on: PowerOn) -> None:
    pc = power_on()
    asked = Service(pc).passphrase()
    pc.see("Passphrase")
    pc.cooked()
    assert pc.echoes()
    pc.until(lambda _: not pc.echoes(), "raw mode again")
    pc.type("silent", ENTER)
    assert answer(asked) == b"silent"
    assert "silent" not in pc.settle()


@pytest.mark.parametrize(("columns", "lines"), [(160, 50), (40, 12), (10, 4), (1, 1)])
def test_a_screen_that_changes_its_size_is_drawn_anew(power_on: PowerOn, columns: int, lines: int) -> None:
    pc = power_on()
    pc.see("Passphrase")
    pc.resize(columns, lines)
    pc.settle()
    pc.resize(100, 37)
    before = len(pc.raw)
    pc.until(lambda _: b"\x1b[J" in pc.raw[before:] or b"\x1b[2J" in pc.raw[before:], "a cleared screen")
    frame = next(row for row in pc.see("Passphrase", "F4 power off").split("\n") if "SoulPad" in row)
    assert abs((len(frame) - len(frame.lstrip())) - (len(frame) - len(frame.rstrip()))) <= 1


def test_what_the_kernel_prints_over_the_prompt_goes(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see("Passphrase")
    os.write(pc.slave, b"\x1b[1;1H" + b"usb 1-1: device descriptor read error " * 40)
    pc.see("descriptor")
    shown = pc.see_no_more("descriptor")
    assert "Passphrase" in shown and "Enter unlock" in shown


def test_an_unexpected_error_brings_the_prompt_back_and_tells_no_secret(power_on: PowerOn) -> None:
    pc = power_on(program=["-c", CRASHES_ONCE, str(PROGRAM.parent)])
    pc.see("Passphrase")
    pc.type("abc")
    pc.until(lambda _: "console restarted" in pc.read("kmsg"), "the restart in the log")
    shown = pc.until(lambda shown: "Enter unlock" in shown and BULLET not in shown, "an empty prompt")
    assert "Traceback" not in shown + pc.raw.decode(errors="replace")
    assert "ValueError" in pc.read("kmsg")
    assert "swordfish" not in pc.read("kmsg")
    asked = Service(pc).passphrase()
    pc.type("again", ENTER)
    assert answer(asked) == b"again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hang a terminal up")
def test_a_terminal_that_was_hung_up_is_opened_again(power_on: PowerOn) -> None:
    pc = power_on()
    asked = Service(pc).passphrase()
    pc.see("Passphrase")
    name = os.ttyname(pc.slave)
    fcntl.ioctl(pc.slave, TIOCVHANGUP)
    os.close(pc.slave)
    pc.until(lambda _: "console restarted" in pc.read("kmsg"), "the restart in the log")
    pc.slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
    pc.until(lambda _: not pc.echoes(), "the prompt's modes")
    pc.settle()
    pc.type("again", ENTER)
    assert answer(asked) == b"again"


def test_the_process_that_reads_passphrases_is_hardened(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see_ready()
    proc = Path(f"/proc/{pc.process.pid}")
    core = next(row for row in (proc / "limits").read_text().splitlines() if row.startswith("Max core file size"))
    assert core.split()[-3:-1] == ["0", "0"]
    ignored = next(row for row in (proc / "status").read_text().splitlines() if row.startswith("SigIgn:"))
    assert int(ignored.split()[1], 16) & 0b111 == 0b111  # SIGHUP, SIGINT, SIGQUIT


def test_the_last_words_stay_when_the_system_ends_the_console(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    service.tell(service.console.message, "Your session is saved", ["You can take the stick out."])
    pc.see("You can take the stick out.")
    pc.process.terminate()
    pc.process.wait(PATIENCE_SECONDS)
    shown = pc.settle()
    assert "You can take the stick out." in shown and "Traceback" not in shown


def test_nothing_typed_is_in_any_log(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    asked = service.passphrase()
    pc.see("Passphrase")
    pc.type("swordfish", ENTER)
    answer(asked)
    pc.settle()
    assert b"swordfish" not in pc.raw
    for name in ("kmsg", "marks", "ttyS5", "called"):
        assert "swordfish" not in pc.read(name)
