"""Checkpoints that somebody reads and that must not be removed meanwhile: a shared lock on their folders.

The lock is flock(2)'s: it ends with the process that holds it, so that no crash leaves one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def pinned(folder: Path) -> Iterator[None]:
    """The checkpoint in ``folder`` stays until the block ends. Raises OSError if it is not there or goes just now."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unpinned(folder: Path) -> Iterator[None]:
    """Nobody pins the checkpoint in ``folder`` until the block ends. Raises OSError if somebody does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
