"""QEMU's monitor, asked and answered one question at a time (QMP, with QEMU's own client underneath)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from soulpad.base.errors import EmulatedPcFailed

ANSWER_SECONDS = 60  # an emulated PC on a loaded machine holds QEMU's main lock for seconds at a time
POLL_SECONDS = 0.05

# the client reports every hang-up as an error, and a power cut is one; what matters is raised
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


class QemuGone(EmulatedPcFailed):
    """QEMU hung up: it has ended or is about to."""


class Monitor:
    """A connection to one QEMU. ``close`` it before or after QEMU's end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient("soulpad-pc")

    def connect(self, socket: Path, is_alive: Callable[[], bool], timeout_seconds: float = ANSWER_SECONDS) -> None:
        """Waits until QEMU listens, and connects. Raises EmulatedPcFailed when QEMU ends first or never listens."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._wait_for(self._client.connect(str(socket)))
                return
            except (ConnectError, TimeoutError):
                if not is_alive():
                    raise EmulatedPcFailed("QEMU did not start") from None
                if time.monotonic() > deadline:
                    raise EmulatedPcFailed("QEMU started but does not answer its monitor") from None
            time.sleep(POLL_SECONDS)

    def execute(self, command: str, **arguments: object) -> Any:
        """QEMU's answer to one command. Raises EmulatedPcFailed when it refuses or does not answer,
        QemuGone when it hung up."""
        try:
            return self._wait_for(self._client.execute(command, arguments))
        except ExecuteError as error:
            raise EmulatedPcFailed(f"QEMU refuses {command}: {error}") from None
        except TimeoutError:
            raise EmulatedPcFailed(f"QEMU did not answer {command} in {ANSWER_SECONDS} seconds") from None
        except (QMPError, EOFError, OSError):
            raise QemuGone(f"QEMU ended at {command}") from None

    def close(self) -> None:
        """Hangs up; does nothing the second time."""
        if self._loop.is_closed():
            return
        with suppress(QMPError, EOFError, OSError, TimeoutError):  # QEMU hung up first
            self._wait_for(self._client.disconnect())
        self._end_tasks()
        self._loop.close()

    def _wait_for(self, answer: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(answer, ANSWER_SECONDS))

    def _end_tasks(self) -> None:
        """Ctrl-C may have left a question without its answer."""
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks))
