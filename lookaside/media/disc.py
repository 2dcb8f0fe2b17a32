"""A disc or a disc image (ISO 9660 with Rock Ridge), not mounted: its folders by pycdlib, its files where they lie."""

from __future__ import annotations

import os
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from lookaside.errors import SourceUnusable
from lookaside.media.trees import read_fully

# what parsing bytes that somebody altered may raise within pycdlib
_NONSENSE = (PyCdlibException, ValueError, TypeError, LookupError, AttributeError, struct.error, ArithmeticError)


class DiscTree:
    """A ``Tree`` in a disc image or a drive, which is open until nobody has the tree any more."""

    def __init__(self, path: Path) -> None:
        """Reads all folders. Raises SourceUnusable."""
        self.path = path
        try:
            with path.open("rb") as file, understood(path):
                disc = PyCdlib()
                disc.open_fp(file)
                self._places = dict(files_on(disc))
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)  # or a drive whose source was removed would stay shut
        except OSError as error:
            raise SourceUnusable(f"{path} cannot be read: {error.strerror}.", "see whether the disc is in it") from None

    @property
    def name(self) -> str:
        return str(self.path)

    def names(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        below = (path.removeprefix(start) for path in self._places if path.startswith(start))
        found = sorted({path.split("/", 1)[0] for path in below})
        if not found:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), folder)
        return found

    def file_bytes(self, path: str) -> int:
        return self._place(path)[1]

    def read(self, path: str, offset: int, count: int) -> bytes:
        start, file_bytes = self._place(path)
        return read_fully(self._descriptor, start + offset, max(0, min(count, file_bytes - offset)))

    def _place(self, path: str) -> tuple[int, int]:
        try:
            return self._places[path]
        except KeyError:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path) from None


def files_on(disc: PyCdlib) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each file's path, its first byte on the disc, and how many it has. Files in pieces (over 4 GiB) are left out."""
    for folder, _, names in disc.walk(rr_path="/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            extents = disc.get_file_byte_extents(rr_path=path)
            if len(extents) == 1:
                yield path.removeprefix("/"), extents[0]


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Whatever is not a disc that can be understood is SourceUnusable."""
    try:
        yield
    except OSError:
        raise
    except (*_NONSENSE, RecursionError, MemoryError):
        raise SourceUnusable(f"{path} is no disc image that can be read.", "use another copy of it") from None
