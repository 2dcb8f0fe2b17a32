"""The session's side of the console: what is asked of and shown to the person at the PC.

The console itself is a program of its own on tty1 (hostos/programs/soulpad_console; its ``protocol`` module describes
the lines), started before systemd. A connection that breaks, because the console had to start anew, is made again
and the request repeated; a second break is ConsoleGone.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import SoulpadError
from soulpad.base.secrets import Secret

SOCKET_PATH = Path("/run/soulpad/console.sock")
POLL_SECONDS = 0.05
RECEIVED_BYTES = 65536

Answer = dict[str, object]


class PowerOffAsked(Exception):
    """The person chose to switch the PC off instead of answering. Only questions raise it."""


class ConsoleGone(SoulpadError):
    """There is no console to ask."""


@dataclass(frozen=True)
class Typed:
    """What was typed at the prompt. ``go_back``: the person wants to choose the moment to go on from."""

    passphrase: Secret
    go_back: bool = False


class Console:
    """A person in front of the PC's screen. Every method raises ConsoleGone when there is no console."""

    def __init__(self, path: Path = SOCKET_PATH, connect_timeout_seconds: float = 60.0) -> None:
        self._path = path
        self._connect_timeout_seconds = connect_timeout_seconds
        self._socket: socket.socket | None = None

    def ask_passphrase(self, message: str = "") -> Typed:
        """Waits until a passphrase was typed; with a message, for another one. Raises PowerOffAsked."""
        answer = self._ask({"ask": "passphrase", "message": message})
        return Typed(Secret(str(answer["passphrase"]).encode()), answer.get("go_back") is True)

    def choose(self, title: str, text: Sequence[str], options: Sequence[str], default: int = 0) -> int:
        """Waits until one of the options was chosen; its place. Raises PowerOffAsked."""
        request = {"ask": "choice", "title": title, "text": list(text), "options": list(options), "default": default}
        return int(str(self._ask(request)["choice"]))

    def message(self, title: str, text: Sequence[str]) -> None:
        """Shows words that stay."""
        self._exchange({"show": "message", "title": title, "text": list(text)})

    def working(self, text: str) -> None:
        """Shows what is going on, with a sign of life."""
        self._exchange({"show": "working", "text": text})

    def advise(self, text: Sequence[str]) -> None:
        """Shows lines below the field of every passphrase prompt from now on; what is typed there stays."""
        self._exchange({"show": "advice", "text": list(text)})

    def hide(self) -> None:
        """Leaves the screen and the keyboard to the viewer, until something is shown or asked."""
        self._exchange({"hide": True})

    def close(self) -> None:
        """Leaves the console. What it shows stays; the next request connects anew."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _ask(self, request: Answer) -> Answer:
        answer = self._exchange(request)
        if answer.get("power_off"):
            raise PowerOffAsked
        return answer

    def _exchange(self, request: Answer) -> Answer:
        line = json.dumps(request).encode() + b"\n"
        answer = self._send_and_receive(line) or self._send_and_receive(line)
        if answer is None:
            raise self._gone("closed the connection twice")
        if "error" in answer:
            raise self._gone(f"refused a request: {answer['error']}")
        return answer

    def _send_and_receive(self, line: bytes) -> Answer | None:
        """The answer, or None when the connection broke."""
        connection = self._socket or self._connect()
        self._socket = None  # whatever interrupts us, a late answer is not taken for the next request's
        try:
            connection.sendall(line)
            answer = _receive_line(connection)
        except OSError:
            answer = None
        except BaseException:
            connection.close()
            raise
        if answer is None:
            connection.close()
            return None
        self._socket = connection
        decoded = json.loads(answer)
        return decoded if isinstance(decoded, dict) else {"error": "its answer is no object"}

    def _connect(self) -> socket.socket:
        """Waits for the console to listen."""
        deadline = time.monotonic() + self._connect_timeout_seconds
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(self._path))
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > deadline:
                    raise self._gone("does not listen") from None
                time.sleep(POLL_SECONDS)
            except BaseException:
                connection.close()
                raise

    def _gone(self, what: str) -> ConsoleGone:
        return ConsoleGone(f"the console at {self._path} {what}", "switch the PC off with its power button")


def _receive_line(connection: socket.socket) -> bytes | None:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = connection.recv(RECEIVED_BYTES)
        if not chunk:
            return None
        received += chunk
    return bytes(received)
