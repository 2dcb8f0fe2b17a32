"""What the disk that something is restored to says when it is full or fails, as a line for people."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soulpad.base.errors import BadInput, NoSpace


@contextmanager
def target_trouble(folder: Path) -> Iterator[None]:
    """Raises NoSpace, or BadInput where ``folder`` cannot be written, instead of OSError."""
    try:
        yield
    except OSError as error:
        said = error.strerror or type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace(f"{folder} is full: {said}.", "free some space and run it again") from None
        raise BadInput(f"{folder} cannot be written: {said}", "may you write there? Then run it again") from None
