"""One build at a time: of two that want the same folder filled, the second waits and finds it filled."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soulpad.base.progress import Progress


@contextmanager
def one_at_a_time(folder: Path, progress: Progress, waiting_for: str) -> Iterator[None]:
    """Only one process is in this block for ``folder``, which is there. The lock is flock(2)'s, on the folder itself:
    whoever may read it may take it, and it ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step(f"waiting for another {waiting_for}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
