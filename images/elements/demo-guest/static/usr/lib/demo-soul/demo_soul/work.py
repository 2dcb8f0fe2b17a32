"""Work that is timed: passes over a block of memory and over a file, a MiB a step, for so long or once round.

All that is written is one known MiB, again and again: what is read can be checked, and making it costs nothing.
"""

from __future__ import annotations

import mmap
import os
import time
from _sha3 import shake_128  # type: ignore[import-not-found]  # hashlib would load OpenSSL
from collections.abc import Callable, Generator

MIB = 1 << 20
MEMORY_KINDS = ("memory-write", "memory-read")
KINDS = (*MEMORY_KINDS, "disk-write", "disk-read")

Steps = Generator[None, None, str]


class Work:
    """``path``: of the file. Memory and file last until work of another size is asked for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._content = b""
        self._memory: mmap.mmap | None = None
        self._file_mib = 0
        self._next = dict.fromkeys(KINDS, 0)

    @property
    def memory_mib(self) -> int:
        """How much memory it holds."""
        return len(self._memory) // MIB if self._memory else 0

    def run(self, kind: str, mib: int, seconds: float | None) -> Steps:
        """Goes on through ``mib`` MiB, from where this kind of work was left, for ``seconds`` (None: once round).

        Yields after each MiB and returns how many it did, or what went wrong. Memory or file that are not of this size
        are made first.
        """
        self._content = self._content or shake_128(b"work").digest(MIB)
        try:
            return (yield from self._run(kind, mib, seconds))
        except OSError as error:
            return f"failed: {error.strerror}"

    def _run(self, kind: str, mib: int, seconds: float | None) -> Steps:
        if kind in MEMORY_KINDS:
            yield from self._make_memory(mib)
            step = self._write_memory if kind == "memory-write" else self._read_memory
        else:
            yield from self._make_file(mib)
            step = self._write_file if kind == "disk-write" else self._read_file
        done, damaged = 0, 0
        end = None if seconds is None else time.monotonic() + seconds
        while done < mib if end is None else time.monotonic() < end:
            damaged += not step(self._next[kind] % mib * MIB)
            self._next[kind] += 1
            done += 1
            yield
        return f"{damaged} of {done} MiB are NOT as they were" if damaged else f"{done} MiB"

    def _make_memory(self, mib: int) -> Generator[None, None, None]:
        if self.memory_mib == mib:
            return
        if self._memory:
            self._memory.close()
        self._memory = mmap.mmap(-1, mib * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        yield from _each_mib(mib, self._write_memory)

    def _make_file(self, mib: int) -> Generator[None, None, None]:
        if self._file_mib == mib:
            return
        os.makedirs(os.path.dirname(self._path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib costs start-up time
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
        yield from _each_mib(mib, self._write_file)
        self._file_mib = mib

    def _write_memory(self, at: int) -> bool:
        assert self._memory
        self._memory[at : at + MIB] = self._content
        return True

    def _read_memory(self, at: int) -> bool:
        assert self._memory
        return self._memory[at : at + MIB] == self._content

    def _write_file(self, at: int) -> bool:
        """Afterwards it is on the disk."""
        file = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(file, self._content, at)
            os.fdatasync(file)
        finally:
            os.close(file)
        return True

    def _read_file(self, at: int) -> bool:
        file = os.open(self._path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, at, MIB, os.POSIX_FADV_DONTNEED)  # from the disk, not from the page cache
            return os.pread(file, MIB, at) == self._content
        finally:
            os.close(file)


def _each_mib(mib: int, step: Callable[[int], bool]) -> Generator[None, None, None]:
    for index in range(mib):
        step(index * MIB)
        yield


def parse_work(text: str) -> tuple[str, int, float | None] | None:
    """``KIND MIB [MILLISECONDS]`` as kind, MiB and seconds, or None."""
    kind, *numbers = text.split()
    if kind not in KINDS or len(numbers) not in (1, 2) or not all(number.isdecimal() for number in numbers):
        return None
    mib = int(numbers[0])
    return (kind, mib, int(numbers[1]) / 1000 if numbers[1:] else None) if mib else None
