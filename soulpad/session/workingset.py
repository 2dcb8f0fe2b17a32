"""The working set of a resume: asked for while QEMU starts, learnt again while the machine begins to run.

What a resume touches is nearly what the last one touched (Ustiugov et al., "Benchmarking, Analysis, and Optimization of
Serverless Function Snapshots", ASPLOS 2021). So what this one touches is written into live/, and so belongs to the
checkpoint that the session is suspended into. Nothing here makes a resume or a suspend fail.

A set must not only grow. Of what was prefetched, the kernel maps what lies around a fault, touched or not: so each
resume leaves another sixteenth out, which is then read, and learnt, page by page as it is touched.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from soulpad.base.units import MIB
from soulpad.session import readahead
from soulpad.session.pagemap import cpu_seconds, mapped_runs, process_that_maps
from soulpad.session.thispc import memory_facts
from soulpad.store.checkpoint import RAM_NAME
from soulpad.store.workingset import (
    MOST_PAGES,
    PAGE_BYTES,
    Run,
    WorkingSet,
    read_working_set,
    runs_of,
    write_working_set,
)

log = logging.getLogger("soulpad.session")

QEMU = "qemu-system"
# How far a resume is, the processor time of the machine tells better than the clock: the same steps take from 0.1 s
# to 1.6 s, as its memory is there already or not (docs/decisions/0006-working-set.md).
LEARN_CPU_SECONDS = 0.25
LEARN_SECONDS = 4.0  # a guest that sleeps
SAMPLE_SECONDS = 0.05
# What QEMU and the guest read meanwhile waits behind no more than this.
MOST_PAGES_UNDER_WAY = MIB // PAGE_BYTES
FAULT_AROUND_PAGES = 16  # of 64 KiB, the kernel's own value
TURNS = 16
SHARE_OF_MEMORY = 4


@dataclass
class Companion:
    """What goes on beside a session's machine. One without threads does nothing: a cold start's."""

    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    learn: Callable[[threading.Event], None] | None = None

    def machine_runs(self) -> None:
        """From now on the machine touches its memory."""
        if self.learn:
            self.start(self.learn)

    def stop(self) -> None:
        """Ends what is under way; afterwards nothing here uses the store."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def start(self, act: Callable[[threading.Event], None]) -> None:
        """Runs ``act`` in a thread; it is given the event that ends it."""
        thread = threading.Thread(target=self._run, args=[act], name="working-set", daemon=True)
        self.threads.append(thread)
        thread.start()

    def _run(self, act: Callable[[threading.Event], None]) -> None:
        try:
            act(self.stopping)
        except Exception:
            log.warning("the working set is not used or not kept", exc_info=True)


@contextmanager
def prefetched(source: Path, live: Path) -> Iterator[Companion]:
    """While the block starts a machine from ``live``, the clone of the checkpoint in ``source``, its working set is
    read. The companion goes on after the block, unless that fails."""
    ram = live / RAM_NAME
    known = read_working_set(source, ram.stat().st_size)
    companion = Companion(learn=lambda stopping: learn(live, known, stopping))
    if known:
        wanted = prefetch_plan(known.runs, turn_of(source), affordable_pages(memory_facts()["available_mib"]))
        companion.start(lambda stopping: prefetch(ram, wanted, stopping))
    try:
        with readahead.precise(known=known is not None):
            yield companion
    except BaseException:
        companion.stop()
        raise


# --- reading


def prefetch(ram: Path, runs: Iterable[Run], stopping: threading.Event) -> None:
    """Has the kernel read ``runs`` into the page cache, in this order, little at a time."""
    under_way: deque[Run] = deque()
    descriptor = os.open(ram, os.O_RDONLY)
    try:
        for run in runs:
            if stopping.is_set():
                return
            os.posix_fadvise(descriptor, run.first * PAGE_BYTES, run.pages * PAGE_BYTES, os.POSIX_FADV_WILLNEED)
            under_way.append(run)
            while sum(run.pages for run in under_way) > MOST_PAGES_UNDER_WAY:
                os.pread(descriptor, 1, under_way.popleft().first * PAGE_BYTES)  # returns when it is there
    finally:
        os.close(descriptor)


def prefetch_plan(runs: Iterable[Run], turn: int, most_pages: int) -> list[Run]:
    """What to ask for: ``runs`` in their order, without the windows whose turn it is to be left out, and not more than
    ``most_pages``; in pieces that are small beside MOST_PAGES_UNDER_WAY."""
    plan: list[Run] = []
    for run in runs:
        for piece in pieces(run):
            if (piece.first // FAULT_AROUND_PAGES + turn) % TURNS == 0:
                continue
            if most_pages <= 0:
                return plan
            plan.append(Run(piece.first, min(piece.pages, most_pages)))
            most_pages -= piece.pages
    return plan


def pieces(run: Run) -> Iterator[Run]:
    """A run, cut where the kernel's windows of fault-around end."""
    first, end = run.first, run.first + run.pages
    while first < end:
        next_window = (first // FAULT_AROUND_PAGES + 1) * FAULT_AROUND_PAGES
        yield Run(first, min(end, next_window) - first)
        first = next_window


def affordable_pages(available_mib: int) -> int:
    """A small PC has other uses for its memory than pages that may not be touched."""
    return min(MOST_PAGES, available_mib * MIB // SHARE_OF_MEMORY // PAGE_BYTES)


def turn_of(checkpoint: Path) -> int:
    """Another one each time: the generation, by which the folder is named."""
    return int(checkpoint.name)


# --- learning


def learn(live: Path, known: WorkingSet | None, stopping: threading.Event) -> None:
    """Watches the machine of ``live`` and writes what it touched; what was known, where that could not be seen."""
    ram = live / RAM_NAME
    touched, complete = FirstTouches(), False
    process = process_that_maps(ram, QEMU)
    if process:
        with suppress(OSError):  # the machine has ended, or this kernel does not tell
            complete = watch(process, ram, touched, stopping)
        readahead.take_over(process, ram)
    if touched.runs() and (complete or not known):
        known = WorkingSet(ram.stat().st_size, tuple(touched.runs()))
    if known:
        write_working_set(live, known)


def watch(process: int, ram: Path, touched: FirstTouches, stopping: threading.Event) -> bool:
    """Notes what a process has mapped of ``ram`` until its resume is over; whether it was seen to its end."""
    deadline, enough = time.monotonic() + LEARN_SECONDS, cpu_seconds(process) + LEARN_CPU_SECONDS
    while True:
        touched.add(mapped_runs(process, ram))
        if cpu_seconds(process) >= enough or time.monotonic() >= deadline:
            return True
        if stopping.wait(SAMPLE_SECONDS):
            return False


class FirstTouches:
    """Pages in the order of the samples in which they came up; within a sample by address. MOST_PAGES at most."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._runs: list[Run] = []

    def add(self, sample: Iterable[Run]) -> None:
        """One more sample."""
        pages = {page for run in sample for page in range(run.first, run.first + run.pages)}
        new = sorted(pages - self._seen)[: MOST_PAGES - len(self._seen)]
        self._seen.update(new)
        self._runs += runs_of(new)

    def runs(self) -> list[Run]:
        """All of it so far."""
        return self._runs
