"""One request and its answer, within deadlines: whatever the other side does, it ends, with the answer or an error.

There are no retries: whoever asks several sources asks the next. A connection is kept for a request that follows soon.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse

from lookaside.errors import SourceUnusable
from lookaside.jukebox.deadline import Deadline
from lookaside.jukebox.protocol import SLOWEST_BYTES_PER_SECOND

KEPT_SECONDS = 10.0  # the server closes those that idle for three times as long


class Answer:
    """What comes back. Each part must come in ``patience_seconds`` and what its bytes take at the slowest."""

    def __init__(self, response: HTTPResponse, deadline: Deadline, patience_seconds: float) -> None:
        self._response = response
        self._deadline = deadline
        self._patience_seconds = patience_seconds

    @property
    def length(self) -> int | None:
        """Of what is still to come, where the other side says it."""
        return self._response.length

    def up_to(self, count: int) -> bytes:
        """The next ``count`` bytes; fewer only at the answer's end. Raises OSError, HTTPException."""
        self._deadline.allow(self._patience_seconds + count / SLOWEST_BYTES_PER_SECOND)
        part = self._response.read(count)
        if len(part) < count and self._response.length:  # http.client takes that for an end like any other
            raise HTTPException("cut short")
        self._deadline.pause()  # what its user does with it is not the other side's time
        return part


class Exchange:
    """With the HTTP server at the first of ``addresses`` that takes a connection. For one thread at a time."""

    def __init__(self, name: str, addresses: Sequence[str], port: int, patience_seconds: float) -> None:
        self.name = name
        self._addresses = tuple(addresses)
        self._port = port
        self._patience_seconds = patience_seconds
        self._kept: tuple[HTTPConnection, float] | None = None

    def close(self) -> None:
        """Ends the connection; the next request makes a new one."""
        if self._kept is not None:
            self._kept[0].close()
            self._kept = None

    @contextmanager
    def asked(self, method: str, path: str, body: bytes | None = None) -> Iterator[Answer]:
        """The answer, while the block runs. Raises SourceUnusable, also for what reading it in the block raises."""
        connection = self._kept_connection() or self._new_connection()
        deadline = Deadline(connection.sock, self._patience_seconds)
        with ExitStack() as opened:
            opened.callback(connection.close)
            try:
                with deadline:
                    connection.request(method, path, body)
                    response = opened.enter_context(connection.getresponse())
                    if response.status != 200:
                        raise self.unusable(f"answers {response.status}")
                    if response.length is None and not response.chunked:
                        raise HTTPException("an answer without an end")  # or one whose header was cut short
                    yield Answer(response, deadline, self._patience_seconds)
            except (OSError, HTTPException, ValueError) as error:
                late = deadline.passed or isinstance(error, TimeoutError)
                raise self.unusable("does not answer in time" if late else f"breaks off: {error!r}") from None
            if response.isclosed() and not response.will_close:  # "closed" means that it is at its end
                opened.pop_all()
                self._kept = connection, time.monotonic()

    def unusable(self, what: str) -> SourceUnusable:
        """The error for a server that does this."""
        return SourceUnusable(f"{self.name} {what}.", "the other sources are asked")

    def _kept_connection(self) -> HTTPConnection | None:
        """The connection of the request before, if it can be used still: one that the server closed has an end to be
        read."""
        if self._kept is None:
            return None
        (connection, since), self._kept = self._kept, None
        if time.monotonic() - since < KEPT_SECONDS and not select.select([connection.sock], [], [], 0)[0]:
            return connection
        connection.close()
        return None

    def _new_connection(self) -> HTTPConnection:
        failure: Exception | None = None
        for address in self._addresses:
            try:
                connection = HTTPConnection(address, self._port, timeout=self._patience_seconds)
                connection.connect()
            except (OSError, HTTPException, UnicodeError) as error:  # the latter two for a name that can be none
                failure = error
                continue
            connection.auto_open = 0  # one that ended is not to be made anew behind our back
            return connection
        raise self.unusable("does not answer in time" if isinstance(failure, TimeoutError) else f"is away: {failure}")
