"""A time by which a connection must get on. A socket's own time-out is for a single wait, so who sends a byte now and
then could keep its reader for ever."""

from __future__ import annotations

import math
import socket
import time
from contextlib import suppress
from threading import Condition, Thread
from types import TracebackType


class Deadline:
    """While the block runs: when the time is up the socket is shut down, and whoever waits for it gets an error."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._until = time.monotonic() + seconds
        self._over = False
        self._changed = Condition()
        self.passed = False
        self._thread = Thread(target=self._wait, name="deadline", daemon=True)

    def allow(self, seconds: float) -> None:
        """There is so much time from now on."""
        with self._changed:
            self._until = time.monotonic() + seconds
            self._changed.notify()

    def pause(self) -> None:
        """The time does not run until it is allowed anew."""
        self.allow(math.inf)

    def __enter__(self) -> Deadline:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()

    def _wait(self) -> None:
        with self._changed:
            while not self._over:
                left = self._until - time.monotonic()
                if left <= 0:
                    self.passed = True
                    with suppress(OSError):
                        self._connection.shutdown(socket.SHUT_RDWR)
                    return
                self._changed.wait(None if math.isinf(left) else left)
