"""Jukeboxes on this computer: ours, and ones that behave badly."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from lookaside.jukebox.catalogue import Catalogue
from lookaside.jukebox.client import Jukebox
from lookaside.jukebox.server import JukeboxServer, Limits

SHORT_SECONDS = 0.3
LONG_SECONDS = 60.0  # for who is to answer, on a busy machine

Behaviour = Callable[[socket.socket, Event], None]  # what to do with a connection until the event


@contextmanager
def serving(*folders: Path, manifests: bool = False, limits: Limits | None = None) -> Iterator[JukeboxServer]:
    """Our server over folders."""
    catalogue = Catalogue(folders, manifests=manifests)
    with JukeboxServer(catalogue, "test", 0, limits or Limits()) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def client_of(server: JukeboxServer, address: str = "127.0.0.1") -> Jukebox:
    return Jukebox([address], server.server_port, patience_seconds=LONG_SECONDS)


@contextmanager
def behaving(behaviour: Behaviour, patience_seconds: float = LONG_SECONDS) -> Iterator[Jukebox]:
    """A client of a server that does the same with every connection."""
    over = Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    thread = Thread(target=accept, args=(listener, behaviour, over))
    thread.start()
    try:
        yield Jukebox(["127.0.0.1"], listener.getsockname()[1], patience_seconds=patience_seconds)
    finally:
        over.set()
        thread.join()
        listener.close()


def accept(listener: socket.socket, behaviour: Behaviour, over: Event) -> None:
    while not over.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection, suppress(OSError):
            connection.settimeout(5)
            behaviour(connection, over)


def request_of(connection: socket.socket) -> bytes:
    """A request's head and body, read."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return body


def answering(content: bytes, *, cut: int = 0) -> Behaviour:
    """Always this answer, without the last ``cut`` bytes of what it announces."""

    def behave(connection: socket.socket, _over: Event) -> None:
        request_of(connection)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
        connection.sendall(head + content[: len(content) - cut])

    return behave


def hanging(_connection: socket.socket, over: Event) -> None:
    """Takes the connection and says nothing."""
    over.wait(5)


def hanging_in_the_answer(connection: socket.socket, over: Event) -> None:
    """Begins an answer and goes silent."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n60\r\n")
    over.wait(5)


def dripping(connection: socket.socket, over: Event) -> None:
    """A byte now and then, for ever: no single wait is long."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Comment: ")
    while not over.wait(0.05):
        connection.sendall(b"a")


def endless(connection: socket.socket, over: Event) -> None:
    """As many bytes as the other side takes."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"CHNK" * 1000)


def endless_in_order(connection: socket.socket, over: Event) -> None:
    """The same in HTTP chunks, as a jukebox answers."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"1000\r\n" + b"CHNK" * 1024 + b"\r\n")


def endless_headers(connection: socket.socket, over: Event) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        connection.sendall(b"X: y\r\n" * 100)


def garbage(connection: socket.socket, _over: Event) -> None:
    """No HTTP at all."""
    request_of(connection)
    connection.sendall(bytes(range(256)) * 10)


def hanging_up(connection: socket.socket, _over: Event) -> None:
    request_of(connection)


def refusing(connection: socket.socket, _over: Event) -> None:
    request_of(connection)
    connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


def moved(connection: socket.socket, _over: Event) -> None:
    """Sends its users elsewhere."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
