"""In the host's root: the demo guest at its serial port, which is a pseudo terminal here."""

from __future__ import annotations

import json
import os
import threading
import time
import tty
from pathlib import Path
from typing import Any

from soulpad.base.errors import EmulatedPcFailed, VerifyFailed
from soulpad.base.run import run

Message = dict[str, Any]

COMMAND_LINE = Path("/proc/cmdline")
BOOT_SECONDS = 600.0
COMMAND_SECONDS = 900.0
ANSWER_SECONDS = 600.0
READ_BYTES = 65536


class LineReader:
    """Makes messages of what a port sends, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, received: bytes) -> list[Message]:
        """The messages that end in ``received``; lines that are none (a boot loader's) are skipped."""
        *lines, self._partial = (self._partial + received).split(b"\n")
        return [message for message in map(parse_message, lines) if message]


def parse_message(line: bytes) -> Message | None:
    """One line of the guest's, or None."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


class GuestSerial:
    """Both ends of a pseudo terminal; ``device`` is what QEMU opens, run after run."""

    def __init__(self) -> None:
        # Our own hold on QEMU's end keeps the terminal alive, and raw, between two runs.
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.device = Path(os.ttyname(self._theirs))
        self._messages: list[Message] = []
        self._came = threading.Condition()
        threading.Thread(target=self._read, name="guest-serial", daemon=True).start()

    def boot(self) -> Message:
        """The first report of a guest that was just started."""
        return self._wait("soul", 0, BOOT_SECONDS)

    def fill(self, mib: int) -> None:
        """Fills so much of the guest's memory with its pattern; raises EmulatedPcFailed when it has no room."""
        result = self.command(f"pattern {mib}")
        if result != "filled":
            raise EmulatedPcFailed(f"the guest's memory cannot be filled: {result}", "give it more with --memory")
        self.command("status")  # from here on the last report knows of it

    def last_report(self) -> Message:
        """The last report that came."""
        with self._came:
            return next(message["soul"] for message in reversed(self._messages) if "soul" in message)

    def first_output(self, before: Message) -> Message:
        """Asks the resumed guest how it is; its first report, which must go on from ``before``."""
        seen = len(self._messages)
        os.write(self._ours, b"status\n")
        return require_continues(before, self._wait("soul", seen, ANSWER_SECONDS))

    def browse(self, heap_mib: int, hot_mib: int) -> None:
        """Has it browse from now on; raises EmulatedPcFailed when it has no room."""
        result = self.command(f"browse {heap_mib} {hot_mib}")
        if result != "browsing":
            raise EmulatedPcFailed(f"the guest does not browse: {result}", "give it more memory")

    def seen(self) -> int:
        """How many messages have come."""
        return len(self._messages)

    def rounds(self, count: int, seen: int | None = None) -> list[Message]:
        """The first ``count`` rounds of the browser that end after ``seen`` messages (None: from now on); raises
        VerifyFailed when what it found was not what it had left."""
        seen = self.seen() if seen is None else seen
        found: list[Message] = []
        for _ in range(count):
            seen, message = self._wait_from("round", seen, COMMAND_SECONDS)
            found.append(message)
        if not all(one["ok"] for one in found):
            raise VerifyFailed("the guest's browser did not find what it had left", "this must never happen")
        return found

    def command(self, command: str) -> str:
        """Has the guest do something; returns its result when it is done."""
        return str(self.answer(command)["result"])

    def answer(self, command: str) -> Message:
        """The same; returns all of its answer: command, result and seconds."""
        seen = len(self._messages)
        os.write(self._ours, command.encode() + b"\n")
        while True:
            answer = self._wait("done", seen, COMMAND_SECONDS)
            if answer["command"] == command:
                return answer
            seen = len(self._messages)

    def verify(self) -> None:
        """Has the guest check all of its pattern; raises VerifyFailed when a byte of it is another."""
        result = self.command("verify")
        if not result.endswith("are as they were") or "NOT" in result or not self.last_report()["pattern_ok"]:
            raise VerifyFailed(f"the guest's memory is damaged: {result}", "this must never happen; keep the store")

    def _wait(self, kind: str, seen: int, patience_seconds: float) -> Message:
        return self._wait_from(kind, seen, patience_seconds)[1]

    def _wait_from(self, kind: str, seen: int, patience_seconds: float) -> tuple[int, Message]:
        """The next message of a kind after so many, and how many have been seen with it."""
        deadline = time.monotonic() + patience_seconds
        with self._came:
            while True:
                for place, message in enumerate(self._messages[seen:], seen + 1):
                    if kind in message:
                        return place, dict(message[kind])
                left = deadline - time.monotonic()
                if left <= 0:
                    raise EmulatedPcFailed(f"the guest said nothing for {patience_seconds:.0f} s", "is it running?")
                self._came.wait(left)

    def _read(self) -> None:
        reader = LineReader()
        while True:
            messages = reader.feed(os.read(self._ours, READ_BYTES))
            with self._came:
                self._messages += messages
                self._came.notify_all()


def require_continues(before: Message, after: Message) -> Message:
    """``after``, if it is of the same session and later; raises VerifyFailed."""
    same = all(before[name] == after[name] for name in ("boot_id", "session_id", "pattern_goal_mib"))
    if not same or after["counter"] < before["counter"]:
        raise VerifyFailed(f"the guest did not go on: {before} became {after}", "it was started anew, or went back")
    return after


def announce(port: GuestSerial) -> None:
    """Tells the product where the guest's serial port leads, as a laboratory's PC is told: on the kernel's command
    line, which in this mount namespace is another file."""
    line = Path("/run/cmdline")
    line.write_text(f"soulpad.guest_serial={port.device.relative_to('/dev')}\n")
    run(["mount", "--bind", line, COMMAND_LINE])
