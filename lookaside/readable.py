"""Images as they are read: a file on a mounted file system, or one inside a stick's image; both at rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from soulpad.base import extents as fiemap
from soulpad.base.extents import Extent


class Readable(Protocol):
    """An image. Its methods raise OSError, or the SoulpadError of the place where it lies."""

    @property
    def size_bytes(self) -> int: ...

    def data_from(self, position: int) -> int:
        """Where, from ``position`` on, the next byte lies that is not in a hole; ``size_bytes`` where none does."""

    def read_at(self, position: int, count: int) -> bytes:
        """``count`` bytes from ``position``; fewer only at the image's end."""


class Mapped(Readable, Protocol):
    """An image whose place on its file system is known, so that it can be compared without being read."""

    @property
    def volume(self) -> object:
        """Equal for images whose places mean the same device."""

    def extents(self) -> Sequence[Extent] | None:
        """Where it lies now, without its holes; None where the file system cannot say."""


class FileImage:
    """A file that is open as ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        state = os.fstat(descriptor)
        self._descriptor = descriptor
        self.size_bytes = state.st_size
        self.volume: object = state.st_dev

    def data_from(self, position: int) -> int:
        try:
            return os.lseek(self._descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end of the file
            return self.size_bytes

    def read_at(self, position: int, count: int) -> bytes:
        parts = []
        while count and (part := os.pread(self._descriptor, count, position)):
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return b"".join(parts)

    def extents(self) -> Sequence[Extent] | None:
        try:
            return list(fiemap.extents_of(self._descriptor, write_first=True))
        except OSError:
            return None


@contextmanager
def open_file(path: Path) -> Iterator[FileImage]:
    """The file at ``path``, open until the block ends. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield FileImage(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(image: Readable | Path) -> Iterator[Readable]:
    """The image, a path's file being open until the block ends. Raises OSError."""
    if not isinstance(image, Path):
        yield image
        return
    with open_file(image) as file:
        yield file
