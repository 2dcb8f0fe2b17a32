"""Reading what can be read of a file on a medium that fails in places."""

from __future__ import annotations

import os
from io import FileIO

BLOCK_BYTES = 4096


class Patient(FileIO):
    """A file that is read past places that cannot be read: they are zeros. For those who check what they get."""

    def read(self, size: int | None = -1) -> bytes:
        """As of any file, but it raises nothing."""
        start = self.tell()
        try:
            return super().read(size) or b""
        except OSError:
            file_bytes = os.fstat(self.fileno()).st_size
            end = file_bytes if size is None or size < 0 else min(start + size, file_bytes)
            content = b"".join(self._block(at, min(block_end(at), end)) for at in block_starts(start, end))
            self.seek(end)
            return content

    def _block(self, start: int, end: int) -> bytes:
        try:
            return os.pread(self.fileno(), end - start, start).ljust(end - start, b"\0")
        except OSError:
            return bytes(end - start)


def block_starts(start: int, end: int) -> list[int]:
    """Where the parts of a span begin, cut at multiples of BLOCK_BYTES."""
    return [start, *range(block_end(start), end, BLOCK_BYTES)] if start < end else []


def block_end(position: int) -> int:
    return (position // BLOCK_BYTES + 1) * BLOCK_BYTES
