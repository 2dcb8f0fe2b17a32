"""The program's one loop: a tick each second, commands from both terminals, and slow work in between."""

from __future__ import annotations

import os
import select
import time
from _json import encode_basestring_ascii
from _sha3 import shake_128  # type: ignore[import-not-found]  # hashlib would load OpenSSL
from collections.abc import Iterator

from demo_soul.browsing import Browsing, parse_browsing
from demo_soul.letter import Letter
from demo_soul.pattern import MIB, Pattern
from demo_soul.screen import Painter, View, draw
from demo_soul.wires import Lines, Wire, open_wire
from demo_soul.work import MEMORY_KINDS, Work, parse_work

CONFIGURATION = "/etc/demo-soul.conf"
DEFAULTS = {
    "pattern_mib": "200",
    "verify_mib_per_second": "4",
    "marker_in_memory": "SOUL-MARKER-IN-MEMORY",
    "marker_on_disk": "SOUL-MARKER-ON-DISK",
    "letter": "/home/soul/letter.txt",
    "work_file": "/home/soul/work",
    "serial": "/dev/ttyS0",
}
_SLICE_SECONDS = 0.05
_LETTER_EVERY_TICKS = 5
_SPARED_MIB = 64
_GRND_INSECURE = 4  # getrandom(2); not in Python's os


def main() -> None:
    """Runs until it is ended; standard input is the console."""
    settings = {**DEFAULTS, **parse_settings(_text(CONFIGURATION))}
    soul = Soul(settings, open_wire(settings["serial"]), Wire(0))
    while True:
        soul.turn()


def parse_settings(text: str) -> dict[str, str]:
    """``name = value`` a line; ``#`` begins a comment line."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


class Job:
    """Slow work that a command began: ``steps`` does it bit by bit. What it returns is the result, else ``result``."""

    def __init__(self, command: str, steps: Iterator[None], result: str = "") -> None:
        self.command = command
        self.steps = steps
        self.result = result
        self.began = 0.0
        self.browsing: Browsing | None = None  # what goes on when the job is done


class Soul:
    """All of the state. It is nowhere but here: a new process is a new session."""

    def __init__(self, settings: dict[str, str], serial: Wire, console: Wire) -> None:
        self.boot_id = _text("/proc/sys/kernel/random/boot_id").strip()
        self.session_id = new_session_id(self.boot_id)
        self.counter = 0
        self._began = time.monotonic()
        self._next_tick = self._began
        self._serial, self._console = serial, console
        self._serial_lines, self._console_lines = Lines(), Lines()
        self._painter = Painter()
        self._message = "this session began"
        self._commands_done = 0
        self._letter = Letter(settings["letter"], settings["marker_on_disk"])
        self._letter_found = self._begin_letter()
        self._pattern = Pattern(self.session_id, settings["marker_in_memory"])
        self._goal_mib = int(settings["pattern_mib"])
        self._jobs = [Job(f"pattern {self._goal_mib}", self._pattern.resize(self._goal_mib), "filled")]
        self._timed_work = Work(settings["work_file"])
        self._browsing: Browsing | None = None
        self._round: Iterator[None] | None = None
        self._round_began = 0.0
        self._trickle = self._pattern.trickle()
        self._trickle_rate_mib = int(settings["verify_mib_per_second"])
        self._trickle_due_mib = 0

    def turn(self) -> None:
        """Once round: what time, terminals and jobs ask for; sleeps when that is nothing."""
        busy = bool(self._jobs or self._browsing) or self._trickle_due_mib > 0
        patience = 0.0 if busy else max(0.0, self._next_tick - time.monotonic())
        wires = [wire for wire in (self._serial, self._console) if wire.there]
        readable, writable, _ = select.select(
            [wire.descriptor for wire in wires], [wire.descriptor for wire in wires if wire.waiting], [], patience
        )
        for wire in wires:
            if wire.descriptor in writable:
                wire.flush()
        if self._serial.there and self._serial.descriptor in readable:
            self._take(self._serial_lines.feed(self._serial.read()))
        if self._console.there and self._console.descriptor in readable:
            self._take(self._console_lines.feed(self._console.read()))
            self._show()
        if time.monotonic() >= self._next_tick:
            self._tick()
        self._work()

    def report(self) -> dict[str, object]:
        """What a machine reads each second."""
        return {
            "boot_id": self.boot_id,
            "session_id": self.session_id,
            "counter": self.counter,
            "pattern_mib": self._pattern.mib,
            "pattern_goal_mib": self._goal_mib,
            "pattern_verified": self._pattern.passes,
            "pattern_ok": self._pattern.ok,
            "file_found": self._letter_found,
            "file_sessions": self._letter.sessions,
            "uptime": int(time.monotonic() - self._began),
            "clock": round(time.time(), 3),
            "commands_done": self._commands_done,
            "typed": self._console_lines.typed,
        }

    def _tick(self) -> None:
        self.counter += 1
        now = time.monotonic()
        # After a pause longer than a tick the counter goes on from where it was: it counts seconds lived.
        self._next_tick = self._next_tick + 1 if now < self._next_tick + 1 else now + 1
        self._trickle_due_mib = self._trickle_rate_mib
        if self.counter % _LETTER_EVERY_TICKS == 0:
            self._letter_found = self._letter.found()
        self._tell({"soul": self.report()})
        self._show()
        if self.counter == 1:
            _step_back()

    def _work(self) -> None:
        """A slice of the oldest job, or of what never ends: the browsing that was begun, else the checking."""
        deadline = min(time.monotonic() + _SLICE_SECONDS, self._next_tick)
        while self._jobs:
            job = self._jobs[0]
            job.began = job.began or time.monotonic()
            try:
                next(job.steps)
            except StopIteration as end:
                self._finish(self._jobs.pop(0), end.value)
            if time.monotonic() >= deadline:
                return
        if self._browsing:  # it checks its own memory, and must not wait for the processor
            self._browse(self._browsing)
            while self._round and time.monotonic() < deadline:
                self._browse(self._browsing)
        elif self._trickle_due_mib > 0:
            self._trickle_due_mib -= 1
            next(self._trickle)

    def _browse(self, browsing: Browsing) -> None:
        if not self._round:
            self._round, self._round_began = browsing.go_round(), time.monotonic()
        try:
            next(self._round)
        except StopIteration as end:
            self._round = None
            seconds = round(time.monotonic() - self._round_began, 3)
            if not self._serial.waiting:  # where nobody reads as fast, answers must not be crowded out
                self._tell({"round": {"number": browsing.rounds, "seconds": seconds, "ok": end.value}})

    def _finish(self, job: Job, returned: str | None) -> None:
        result = returned or job.result
        if job.command == "verify":
            bad = len(self._pattern.bad_blocks)
            result = f"{self._pattern.mib} MiB are as they were" if not bad else f"{bad} MiB are NOT as they were"
        self._answer(job.command, result, time.monotonic() - job.began)
        if job.browsing:
            self._browsing = job.browsing

    def _take(self, lines: list[str]) -> None:
        for line in lines:
            self._command(line)

    def _command(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "verify":
            self._jobs.append(Job(line, self._pattern.verify()))
        elif word == "touch" and rest.isdecimal():
            self._jobs.append(Job(line, self._pattern.touch(int(rest)), "rewritten"))
        elif word == "pattern" and rest.isdecimal():
            self._resize(line, int(rest))
        elif word == "work" and rest:
            self._begin_work(line, rest)
        elif word == "browse":
            self._open_browser(line, rest)
        elif word == "write" and rest:
            self._write(line, rest)
        elif word == "status":
            self._tell({"soul": self.report()})
            self._answer(line, "told", 0.0)
        else:
            self._answer(line, "is no command", 0.0)

    def _resize(self, line: str, mib: int) -> None:
        if self._fits(line, mib, self._pattern.mib):
            self._goal_mib = mib
            self._jobs.append(Job(line, self._pattern.resize(mib), "filled"))

    def _begin_work(self, line: str, text: str) -> None:
        asked = parse_work(text)
        if not asked:
            self._answer(line, "is no command", 0.0)
        elif asked[0] not in MEMORY_KINDS or self._fits(line, asked[1], self._timed_work.memory_mib):
            self._jobs.append(Job(line, self._timed_work.run(*asked)))

    def _open_browser(self, line: str, text: str) -> None:
        asked = parse_browsing(text)
        if not asked:
            self._answer(line, "is no command", 0.0)
        elif self._fits(line, asked[0], self._browsing.mib if self._browsing else 0):
            self._browsing = self._round = None
            browsing = Browsing(*asked)
            job = Job(line, browsing.open())
            job.browsing = browsing
            self._jobs.append(job)

    def _fits(self, line: str, mib: int, held_mib: int) -> bool:
        """Whether ``mib`` of memory can be had in place of ``held_mib``; if not, that is the command's answer."""
        most = memory_available_mib(_text("/proc/meminfo")) + held_mib - _SPARED_MIB
        if mib > most:
            self._answer(line, f"does not fit: {most} MiB are free", 0.0)
        return mib <= most

    def _write(self, line: str, text: str) -> None:
        began = time.monotonic()
        try:
            self._letter.write(text)
        except OSError as error:
            self._answer(line, f"failed: {error.strerror}", 0.0)
            return
        self._letter_found = self._letter.found()
        self._answer(line, "written and on the disk", time.monotonic() - began)

    def _begin_letter(self) -> bool:
        try:
            self._letter.begin(self.session_id, time.strftime("%Y-%m-%d %H:%M:%S"))
        except OSError as error:
            self._message = f"the letter cannot be written: {error.strerror}"
        return self._letter.found()

    def _answer(self, command: str, result: str, seconds: float) -> None:
        self._commands_done += 1
        self._message = f"{command}: {result} ({seconds:.1f} s)"
        self._tell({"done": {"command": command, "result": result, "seconds": round(seconds, 3)}})

    def _tell(self, message: dict[str, object]) -> None:
        self._serial.write(to_json(message).encode() + b"\n")

    def _show(self) -> None:
        if not self._console.there or self._console.waiting:
            return
        view = View()
        view.counter, view.session_id, view.boot_id = self.counter, self.session_id, self.boot_id
        view.up_seconds, view.time = (
            int(time.monotonic() - self._began),
            time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        )
        view.pattern_mib, view.pattern_goal_mib = self._pattern.mib, self._goal_mib
        view.passes, view.pattern_ok = self._pattern.passes, self._pattern.ok
        view.letter_path, view.letter_found = self._letter.path, self._letter_found
        view.message, view.typed = self._message, self._console_lines.typed
        self._console.write(self._painter.paint(draw(view), *_size(self._console.descriptor)))


def to_json(value: object) -> str:
    """JSON of what is reported: texts, numbers and truths in dicts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(name)}: {to_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode_basestring_ascii(value) if isinstance(value, str) else repr(value)


def new_session_id(boot_id: str) -> str:
    """32 hex digits that no other session has. Waits for no entropy, which a machine that has just started lacks for
    seconds: the id is to differ, not to be secret."""
    random = os.getrandom(16, _GRND_INSECURE)
    digest: bytes = shake_128(b"%s/%d/%s" % (boot_id.encode(), time.time_ns(), random)).digest(16)
    return digest.hex()


def memory_available_mib(meminfo: str) -> int:
    """MemAvailable of a text like /proc/meminfo, in MiB."""
    fields = (line.split() for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return next((int(field[1]) * 1024 // MIB for field in fields), 0)


def _step_back() -> None:
    """Until its first report the program went before everything else that starts (demo-soul.service)."""
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def _size(descriptor: int) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 80, 25
    return size.columns or 80, size.lines or 25


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs start-up time
            return file.read()
    except OSError:
        return ""
