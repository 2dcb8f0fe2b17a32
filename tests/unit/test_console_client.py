"""The session's side of the console, against a console that says what the test lets it say."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soulpad.base.secrets import Secret
from soulpad.session.console import Console, ConsoleGone, PowerOffAsked, Typed

Script = list[object]
BREAK = object()


class ScriptedConsole:
    """Answers each request with the next item of a script; BREAK closes the connection instead."""

    def __init__(self, path: Path, script: Script) -> None:
        self.requests: list[dict[str, object]] = []
        self.connections = 0
        self._script = iter(script)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rwb") as lines:
                for line in lines:
                    self.requests.append(json.loads(line))
                    answer = next(self._script)
                    if answer is BREAK:
                        break
                    lines.write(json.dumps(answer).encode() + b"\n")
                    lines.flush()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[[Script], tuple[ScriptedConsole, Console]]]:
    made: list[tuple[ScriptedConsole, Console]] = []

    def make(script: Script) -> tuple[ScriptedConsole, Console]:
        path = tmp_path / "console.sock"
        made.append((ScriptedConsole(path, script), Console(path, connect_timeout_seconds=5)))
        return made[-1]

    yield make
    for server, console in made:
        console.close()
        server.close()


Make = Callable[[Script], tuple[ScriptedConsole, Console]]


def test_a_passphrase_comes_as_a_secret_in_utf8(scripted: Make) -> None:
    server, console = scripted([{"passphrase": "ségréte"}])
    assert console.ask_passphrase("Again.") == Typed(Secret("ségréte".encode()))
    assert server.requests == [{"ask": "passphrase", "message": "Again."}]


def test_every_call_is_one_request_of_the_protocol(scripted: Make) -> None:
    server, console = scripted([{"choice": 1}, {"ok": True}, {"ok": True}, {"ok": True}, {"ok": True}])
    assert console.choose("Which?", ("Think.",), ("a", "b"), 1) == 1
    console.message("Done", ["Bye."])
    console.working("Unlocking")
    console.advise(("Slow here.",))
    console.hide()
    assert server.requests == [
        {"ask": "choice", "title": "Which?", "text": ["Think."], "options": ["a", "b"], "default": 1},
        {"show": "message", "title": "Done", "text": ["Bye."]},
        {"show": "working", "text": "Unlocking"},
        {"show": "advice", "text": ["Slow here."]},
        {"hide": True},
    ]
    assert server.connections == 1


def test_power_off_in_answer_to_a_question_is_raised(scripted: Make) -> None:
    _, console = scripted([{"power_off": True}, {"power_off": True}])
    with pytest.raises(PowerOffAsked):
        console.ask_passphrase()
    with pytest.raises(PowerOffAsked):
        console.choose("Which?", [], ["a"])


def test_a_broken_connection_is_made_again_and_the_request_repeated(scripted: Make) -> None:
    server, console = scripted([{"ok": True}, BREAK, {"passphrase": "x"}])
    console.working("Unlocking")
    assert console.ask_passphrase().passphrase.reveal() == b"x"
    assert server.connections == 2
    assert [request.get("ask") for request in server.requests] == [None, "passphrase", "passphrase"]


def test_a_connection_that_breaks_twice_is_an_error_for_people(scripted: Make) -> None:
    _, console = scripted([BREAK, BREAK])
    with pytest.raises(ConsoleGone, match="closed the connection"):
        console.working("Unlocking")


def test_a_refused_request_says_why(scripted: Make) -> None:
    _, console = scripted([{"error": "default is not the place of an option"}])
    with pytest.raises(ConsoleGone, match="not the place"):
        console.choose("Which?", [], [], 0)


def test_no_console_is_an_error_after_the_timeout(tmp_path: Path) -> None:
    with pytest.raises(ConsoleGone, match="does not listen"):
        Console(tmp_path / "nobody.sock", connect_timeout_seconds=0.0).working("x")


def test_the_client_waits_for_a_console_that_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "console.sock"
    servers: list[ScriptedConsole] = []
    later = threading.Timer(0.2, lambda: servers.append(ScriptedConsole(path, [{"ok": True}])))
    later.start()
    console = Console(path, connect_timeout_seconds=10)
    console.working("Unlocking")
    later.join()
    console.close()
    servers[0].close()
    assert servers[0].requests == [{"show": "working", "text": "Unlocking"}]


def test_an_answer_that_comes_after_an_interruption_is_not_taken_for_the_next(scripted: Make) -> None:
    """A SIGTERM raises out of a question; what the person still chooses answers nothing later."""
    server, console = scripted([{"passphrase": "late"}, {"ok": True}])

    class Interrupted(Exception):
        pass

    class Connection:
        def sendall(self, line: bytes) -> None:
            raise Interrupted

        def close(self) -> None:
            self.closed = True

    broken = Connection()
    console._socket = broken  # type: ignore[assignment]
    with pytest.raises(Interrupted):
        console.ask_passphrase()
    assert broken.closed
    assert console.ask_passphrase().passphrase.reveal() == b"late"
    console.working("Unlocking")
    assert len(server.requests) == 2
