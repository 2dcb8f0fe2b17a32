"""In the host's root: what a guest is made to do while it is measured, and the checkpoints beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.lab.guest import GuestSerial
from benchmarks.lab.runtime_request import Kind, Load
from soulpad.base.errors import VerifyFailed
from soulpad.session.periodic import SHARE

# A busy guest rewrites all of its memory's working set this often, and so much of its disk's.
BUSY_ROUND_SECONDS = 10
BUSY_DISK_MIB = 4


def work(port: GuestSerial, kind: Kind, mib: int, turn_ms: int | None = None) -> tuple[int, float]:
    """Has the guest work (once round without ``turn_ms``); MiB that it did, and seconds by its own clock. Raises
    VerifyFailed."""
    done = port.answer(f"work {kind} {mib}" + (f" {turn_ms}" if turn_ms else ""))
    count, unit, *more = str(done["result"]).split(" ")
    if unit != "MiB" or more:
        raise VerifyFailed(f"the guest's work went wrong: {done['result']}", "see what it does in demo_soul/work.py")
    return int(count), float(done["seconds"])


def busy_round(port: GuestSerial, load: Load) -> None:
    """Rewrites the memory's working set, reads it, writes a file and makes it durable."""
    work(port, "memory-write", load.memory_set_mib)
    work(port, "memory-read", load.memory_set_mib)
    work(port, "disk-write", BUSY_DISK_MIB)


@contextmanager
def checkpoints_beside(
    make: Callable[[], dict[str, float]], interval_seconds: float | None
) -> Iterator[list[dict[str, float]]]:
    """Checkpoints while the block runs (None: none), as often as the product makes them; what ``make`` says of each."""
    ended = threading.Event()
    made: list[dict[str, float]] = []

    def keep_making(interval: float) -> None:
        pause = interval
        while not ended.wait(pause):
            made.append(make())
            pause = max(interval, sum(made[-1].values()) / SHARE)

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(keep_making, interval_seconds) if interval_seconds else None
        try:
            yield made
        finally:
            ended.set()
        if making:
            making.result()
