"""A letter on the guest's disk: what it must say is remembered in memory, and compared with what the disk holds."""

from __future__ import annotations

import os


class Letter:
    """Appends only. ``marker`` stands in each line, so that it can be searched for on a disk."""

    def __init__(self, path: str, marker: str) -> None:
        self.path = path
        self._marker = marker
        self._expected = b""

    def begin(self, session: str, when: str) -> None:
        """Starts this session's part; what earlier sessions wrote stays. Raises OSError."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib costs start-up time
        self._expected = self._read()
        self.write(f"session {session} began {when}")

    def write(self, text: str) -> None:
        """Adds a line; afterwards it is on the disk. Raises OSError."""
        line = f"{self._marker} {text}\n".encode()
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        self._expected += line

    def found(self) -> bool:
        """Whether the file is there and says exactly what it must."""
        try:
            return bool(self._expected) and self._read() == self._expected
        except OSError:
            return False

    @property
    def sessions(self) -> int:
        """How many sessions, with this one, have begun in the letter."""
        return self._expected.count(b" session ")

    def _read(self) -> bytes:
        try:
            file = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            # What the page cache remembers would prove nothing about the disk.
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.read(file, 1 << 20)
        finally:
            os.close(file)
