"""The unix socket to the session service: one client, lines in, lines out."""
# os instead of pathlib, as in machine.py.
# ruff: noqa: PTH103, PTH108, PTH116, PTH120

from __future__ import annotations

import os
import socket

from .protocol import LONGEST_LINE_BYTES

SEND_SECONDS = 2.0


class ClientGone(Exception):
    """The session service closed the connection, or did not keep to lines."""


class Link:
    """A listening socket at ``path`` (mode 0600, its folder 0700) and the client, if one is connected."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener: socket.socket | None = None
        self._inode = 0
        self._client: socket.socket | None = None
        self._received = bytearray()

    @property
    def listener_descriptor(self) -> int:
        """To be polled, or -1."""
        return self._listener.fileno() if self._listener else -1

    @property
    def client_descriptor(self) -> int:
        """To be polled, or -1."""
        return self._client.fileno() if self._client else -1

    def ensure(self) -> None:
        """Listens at the path, again if need be: what is mounted over /run hides the socket. Tries anew at the next
        call when it cannot be done yet."""
        if self._client or (self._listener and self._is_in_place()):
            return
        self._close_listener()
        try:
            self._listen()
        except OSError:
            self._close_listener()

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def _listen(self) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        if os.path.lexists(self._path):
            os.unlink(self._path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(self._path)
        finally:
            os.umask(before)
        self._listener.listen(4)
        self._listener.setblocking(False)
        self._inode = os.stat(self._path).st_ino

    def _close_listener(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None

    def accept(self) -> None:
        """Takes the new client. There is one session service: a newer connection replaces an older one."""
        if not self._listener:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.drop()
        client.settimeout(SEND_SECONDS)
        self._client = client

    def drop(self) -> None:
        """Closes the client's connection."""
        if self._client:
            self._client.close()
            self._client = None
        self._received.clear()

    def lines(self) -> list[bytes]:
        """The lines that have come. To be called when the client's descriptor is readable. Raises ClientGone."""
        if not self._client:
            return []
        try:
            chunk = self._client.recv(LONGEST_LINE_BYTES)
        except OSError:
            chunk = b""
        self._received += chunk
        *whole, rest = bytes(self._received).split(b"\n")
        self._received[:] = rest
        if not chunk or len(rest) > LONGEST_LINE_BYTES:
            self.drop()
            raise ClientGone
        return whole

    def send(self, line: bytes) -> None:
        """Sends an answer. Raises ClientGone."""
        if not self._client:
            raise ClientGone
        try:
            self._client.sendall(line)
        except OSError:
            self.drop()
            raise ClientGone from None
