"""The jukebox's server: for an old PC in a community centre, so no more than Python's standard library.

A thread for each connection does: the work is reading files and one BLAKE3, which is faster than any disk or network of
such a PC. Nothing that is asked for names a path: names are digests and numbers. Who hangs, floods or feeds bytes one
by one is cut off: connections are counted, all and by address, and each must get on by a deadline.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import Any, cast

from lookaside.domain import CHUNK_ID_BYTES, ChunkId
from lookaside.errors import CannotServe
from lookaside.jukebox.catalogue import Catalogue
from lookaside.jukebox.protocol import (
    MOST_IDS,
    SLOWEST_BYTES_PER_SECOND,
    Asked,
    Info,
    parse_ids,
    parse_path,
    parse_range,
)

REFRESH_SECONDS = 300.0
BINARY = "application/octet-stream"
_PIECE_BYTES = 256 << 10

log = logging.getLogger("soulpad.jukebox")


@dataclass(frozen=True)
class Limits:
    """How many connections there may be, and from one address; how long a request may take to come, or an answer to
    get on by SLOWEST_BYTES_PER_SECOND."""

    connections: int = 64
    connections_of_address: int = 16
    patience_seconds: float = 30.0


class JukeboxServer(ThreadingMixIn, HTTPServer):
    """Serves a catalogue until ``shutdown``. ``port`` 0: any that is free. Raises CannotServe."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, catalogue: Catalogue, name: str, port: int, limits: Limits = Limits()) -> None:
        self.catalogue = catalogue
        self.name = name
        self.limits = limits
        self._connections: Counter[str] = Counter()
        self._deadlines: dict[socket.socket, float] = {}
        self._lock = Lock()
        self._refresh_at = time.monotonic() + REFRESH_SECONDS
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        try:
            super().__init__(("", port), JukeboxHandler)
        except OSError as error:
            raise CannotServe(f"Port {port} cannot be used: {error.strerror}.", "name another one: --port") from None

    def server_bind(self) -> None:
        """IPv4 and IPv6 by one socket. The base class would ask for this computer's own name, which may take long."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.name, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begins a thread for a connection, or ends it where there are too many."""
        address = str(client_address[0])
        with self._lock:
            admitted = (
                self._connections.total() < self.limits.connections
                and self._connections[address] < self.limits.connections_of_address
            )
            self._connections[address] += admitted
        if not admitted:
            log.warning("%s: too many connections", address)
            self.shutdown_request(request)
            return
        self.expect(request, 0)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """A connection's life."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._deadlines.pop(request, None)
                self._connections -= Counter({str(client_address[0]): 1})

    def expect(self, connection: socket.socket, count: int) -> None:
        """From now on the connection has as long as ``count`` bytes may take to get to the next such call."""
        with self._lock:
            seconds = self.limits.patience_seconds + count / SLOWEST_BYTES_PER_SECOND
            self._deadlines[connection] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """Called between connections, twice a second: ends those that are overdue, looks for new packs."""
        now = time.monotonic()
        with self._lock:
            overdue = [connection for connection, deadline in self._deadlines.items() if deadline < now]
            for connection in overdue:
                del self._deadlines[connection]
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was quicker
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_SECONDS
            Thread(target=self._refresh, name="refresh", daemon=True).start()

    def _refresh(self) -> None:
        try:
            self.catalogue.refresh()
        except CannotServe as error:
            log.warning("%s", error.message)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is no news; all else is a bug, and the other connections go on."""
        broken_off = isinstance(sys.exception(), OSError)
        log.log(logging.DEBUG if broken_off else logging.ERROR, "connection of %s", client_address[0], exc_info=True)


class JukeboxHandler(BaseHTTPRequestHandler):
    """One connection: its requests one after another."""

    protocol_version = "HTTP/1.1"
    server_version = "soulpad-jukebox/1"
    sys_version = ""
    disable_nagle_algorithm = True

    @property
    def jukebox(self) -> JukeboxServer:
        return cast(JukeboxServer, self.server)

    def handle_one_request(self) -> None:
        self.jukebox.expect(self.connection, 0)
        super().handle_one_request()

    def do_GET(self) -> None:
        asked = parse_path(self.path)
        self.close_connection |= self.has_body()  # a GET's body is not read, so it must not be taken for a request
        if asked is None or asked.kind == "batch":
            self.refuse(404)
        elif asked.kind == "info":
            info = Info(self.jukebox.name, self.jukebox.catalogue.chunk_count)
            self.answer(info.encode(), "application/json")
        elif asked.kind == "chunk":
            found = next(self.jukebox.catalogue.chunks([ChunkId(bytes.fromhex(asked.name))]), None)
            self.answer(found.encoded(), BINARY) if found else self.refuse(404)
        else:
            self.give_file(self.file_of(asked))

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Many chunks at once."""
        asked = parse_path(self.path)
        length = self.headers.get("Content-Length", "")
        if asked is None or asked.kind != "batch" or "Transfer-Encoding" in self.headers:
            return self.refuse(404, close=True)
        if not length.isascii() or not length.isdecimal() or len(length) > 9:
            return self.refuse(411, close=True)
        if int(length) > MOST_IDS * CHUNK_ID_BYTES:
            return self.refuse(413, close=True)
        ids = parse_ids(self.rfile.read(int(length)))
        return self.refuse(400, close=True) if ids is None else self.give_chunks(ids)

    def give_chunks(self, ids: list[ChunkId]) -> None:
        """The chunks as they are read: how many bytes it will be is not known before (RFC 9112, 7.1)."""
        self.send_response(200)
        self.send_header("Content-Type", BINARY)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for found in self.jukebox.catalogue.chunks(ids):
            encoded = found.encoded()
            self.jukebox.expect(self.connection, len(encoded))
            self.wfile.write(b"%x\r\n%b\r\n" % (len(encoded), encoded))
        self.wfile.write(b"0\r\n\r\n")

    def file_of(self, asked: Asked) -> Path | None:
        catalogue = self.jukebox.catalogue
        if asked.kind == "pack":
            return catalogue.pack_file(asked.name)
        return (
            catalogue.manifest_file(asked.name) if asked.kind == "manifest" else catalogue.index_file(int(asked.name))
        )

    def give_file(self, path: Path | None) -> None:
        """A file, or the range of it that is asked for."""
        try:
            file = path.open("rb") if path else None
        except OSError:
            file = None
        if file is None:
            return self.refuse(404)
        with file:
            file_bytes = file.seek(0, 2)
            span = parse_range(self.headers.get("Range"), file_bytes)
            if span is None:
                return self.refuse(416, {"Content-Range": f"bytes */{file_bytes}"})
            start, end = span
            partial = end - start < file_bytes
            self.begin(206 if partial else 200, BINARY, end - start)
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{file_bytes}")
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            file.seek(start)
            while self.command != "HEAD" and (piece := file.read(min(_PIECE_BYTES, end - start))):
                self.jukebox.expect(self.connection, len(piece))
                self.wfile.write(piece)
                start += len(piece)
        return None

    def answer(self, content: bytes, kind: str) -> None:
        """A short answer."""
        self.begin(200, kind, len(content))
        self.end_headers()
        if self.command != "HEAD":
            self.jukebox.expect(self.connection, len(content))
            self.wfile.write(content)

    def refuse(self, code: int, headers: dict[str, str] | None = None, *, close: bool = False) -> None:
        """An answer without content. ``close``: what came with the request was not read."""
        self.begin(code, "text/plain", 0)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if close:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()

    def begin(self, code: int, kind: str, count: int) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(count))

    def has_body(self) -> bool:
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug("%s: " + format, self.client_address[0], *arguments)
