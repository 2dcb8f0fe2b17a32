"""Files that are only read: below a folder, or on a disc. One form for both, so that nobody need tell them apart."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, Protocol, cast


class Tree(Protocol):
    """Paths are relative, with ``/``. Raises FileNotFoundError for what is not there, another OSError when the medium
    fails."""

    @property
    def name(self) -> str:
        """What people call it."""

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, sorted."""

    def file_bytes(self, path: str) -> int:
        """How large a file is."""

    def read(self, path: str, offset: int, count: int) -> bytes:
        """``count`` bytes of a file from ``offset``; fewer where it ends."""


class FolderTree:
    """A folder of the file system: a disk, a mounted disc, a share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def name(self) -> str:
        return str(self.root)

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).iterdir())

    def file_bytes(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def read(self, path: str, offset: int, count: int) -> bytes:
        with (self.root / path).open("rb", buffering=0) as file:
            return read_fully(file.fileno(), offset, count)


def opened(tree: Tree, path: str) -> BinaryIO:
    """A file of a tree as Python's files are, without a buffer."""
    return cast(BinaryIO, _TreeFile(tree, path))


class _TreeFile(io.RawIOBase):
    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self._path = path
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the start")
        self._position = offset
        return offset

    def read(self, count: int = -1) -> bytes:
        part = self._tree.read(self._path, self._position, count)
        self._position += len(part)
        return part


def read_fully(descriptor: int, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``; fewer only where the file ends."""
    part = os.pread(descriptor, count, offset)
    while part and len(part) < count:
        more = os.pread(descriptor, count - len(part), offset + len(part))
        if not more:
            break
        part += more
    return part
