"""How much the kernel reads around the fault of a machine that has the store's memory file mapped.

A file keeps the value that its device had when it was opened. While a resume goes on less is read around a fault: what
a known working set misses page by page, so that what is learnt is what was touched; without one, two pages at a time
(docs/decisions/0006-working-set.md). Afterwards pages that come back in come in larger pieces again; for that the open
file is borrowed from QEMU, to which it belongs (pidfd_getfd(2)).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from soulpad.session import volume

KNOWN_KIB = 4
UNKNOWN_KIB = 8
_PIDFD_GETFD = 438  # no function of the C library's, and the same number on every architecture


@contextmanager
def precise(known: bool) -> Iterator[None]:
    """Files of the store that are opened in the block are read in the steps of a resume; ``known``: whose working set
    is prefetched."""
    try:
        _set_store(KNOWN_KIB if known else UNKNOWN_KIB)
        yield
    finally:
        _set_store(volume.READ_AHEAD_KIB)


def take_over(process: int, path: Path) -> bool:
    """Has the file that ``process`` holds open take over its device's value of now. Whether it could be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    with suppress(OSError):
        handle = os.pidfd_open(process)
        try:
            ours = libc.syscall(_PIDFD_GETFD, handle, _number_of(process, path), 0)
        finally:
            os.close(handle)
        if ours >= 0:
            try:
                os.posix_fadvise(ours, 0, 0, os.POSIX_FADV_NORMAL)
            finally:
                os.close(ours)
            return True
    return False


def _number_of(process: int, path: Path) -> int:
    """Under which number the process has the file open; raises FileNotFoundError."""
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if entry.readlink() == path:
                return int(entry.name)
    raise FileNotFoundError(path)


def _set_store(kib: int) -> None:
    with suppress(OSError):  # a laboratory's store need not be the mapped volume
        volume.read_ahead_file().write_text(str(kib))
