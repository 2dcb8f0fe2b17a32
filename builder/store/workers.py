"""Byte ranges worked on by several processes at once: Python's threads do not help where Python itself loops.

The processes are forks: what they work with (open files, keys) is inherited and never written down for them.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import cast

from soulpad.base.errors import ProgramFailed
from soulpad.base.progress import Progress

Work = Callable[[tuple[int, int]], None]

_fork = multiprocessing.get_context("fork")


def in_processes(work: Work, pieces: Sequence[tuple[int, int]], progress: Progress, workers: int = 2) -> None:
    """Calls ``work`` once for every piece (from, to), in no order, and tells ``progress`` of the bytes done.

    The first error of a worker is raised here, and a worker that was killed raises ProgramFailed. Whatever ends the
    call, no worker is left running.
    """
    total_bytes = sum(end - start for start, end in pieces)
    processes, readers = [], list[Connection]()
    try:
        for index in range(workers):
            reader, writer = _fork.Pipe(duplex=False)
            readers.append(reader)
            process = _fork.Process(target=_worker, args=(work, pieces[index::workers], writer, tuple(readers)))
            with sigterm_held_back():
                process.start()
            processes.append(process)
            writer.close()  # so that the end of the worker is the end of its pipe
        _gather(readers, total_bytes, progress)
    finally:
        for process in processes:
            process.terminate()
            process.join()
        for reader in readers:
            reader.close()


@contextmanager
def sigterm_held_back() -> Iterator[None]:
    """A process that is begun in the block gets a SIGTERM only once it has let go of our handler for it, which might
    swallow it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _gather(readers: Sequence[Connection], total_bytes: int, progress: Progress) -> None:
    working = list(readers)
    done_bytes = 0
    while working:
        for reader in cast(list[Connection], wait(working)):
            told = _receive(reader)
            if told is None:
                working.remove(reader)
                continue
            done_bytes += told
            progress.advance(done_bytes, total_bytes)


def _receive(reader: Connection) -> int | None:
    """The bytes of a piece that is done, or None when the worker has done all of its pieces."""
    try:
        told: int | Exception | None = reader.recv()
    except EOFError:
        raise ProgramFailed("a worker process was killed", "look for a lack of memory, then run it again") from None
    if isinstance(told, Exception):
        raise told
    return told


def _worker(work: Work, pieces: Sequence[tuple[int, int]], writer: Connection, readers: Sequence[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us in order
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    for reader in readers:
        reader.close()  # so that we notice when the parent is gone
    try:
        for start, end in pieces:
            work((start, end))
            writer.send(end - start)
        writer.send(None)
    except BrokenPipeError:
        return
    except Exception as error:
        writer.send(error)
