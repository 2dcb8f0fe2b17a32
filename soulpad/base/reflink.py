"""Copies of files that share their blocks until one side is written (reflink).

Source: ioctl_ficlone(2). No data moves, so the time depends on the number of extents and not on the size. What is
dirty of the source in the page cache is written out first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from soulpad.base.run import run

FICLONE = 0x40049409
FICLONERANGE = 0x4020940D
NOT_HERE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS}


def clone(source: Path, target: Path) -> None:
    """Makes ``target`` (mode 0600) a copy of ``source``; by copying its bytes where the file system has no reflink.
    Raises OSError, or NoSpace from the copying."""
    with source.open("rb") as original:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.ioctl(descriptor, FICLONE, original.fileno())
            return
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
        finally:
            os.close(descriptor)
    run(["cp", "--reflink=never", "--sparse=always", source, target])


def clone_range(source: int, target: int, offset_bytes: int, length_bytes: int) -> None:
    """The same for a range of two open files, at the same place in both. Raises OSError, also where there is no
    reflink. While it lasts, whoever has the source mapped waits with what he touches anew."""
    fcntl.ioctl(target, FICLONERANGE, struct.pack("=qQQQ", source, offset_bytes, length_bytes, offset_bytes))
