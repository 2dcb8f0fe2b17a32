"""What a disk says when it is full or fails, as a line for people."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lookaside.errors import NoRepository
from soulpad.base.errors import NoSpace, SoulpadError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_trouble(root: Path, otherwise: type[SoulpadError] = NoRepository) -> Iterator[None]:
    """Raises NoSpace, or ``otherwise`` where ``root`` cannot be read or written, instead of OSError."""
    try:
        yield
    except OSError as error:
        said = error.strerror or type(error).__name__
        if error.errno in FULL:
            raise NoSpace(f"{root} is full: {said}.", "free some space and run it again") from None
        raise otherwise(
            f"{root} cannot be used: {said}.", "is it mounted, and may you write to it? Then run it again"
        ) from None
