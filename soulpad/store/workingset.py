"""``working-set``: which pages of a checkpoint's ``ram.img`` a resume touches, in the order of their first touch.

A hint and nothing else: it saves time where it is right and costs some where it is wrong. So ``checkpoint.json`` does
not name it, it may be added to a checkpoint that is finished, and one that is missing, damaged, of another memory size
or of an unknown version means that there is none.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from soulpad.base.durable import write_durably
from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.base.units import KIB, MIB
from soulpad.store import document

FORMAT = "soulpad-working-set/1"
WORKING_SET_NAME = "working-set"
PAGE_BYTES = 4 * KIB
# More is no hint any more: reading it all would take longer than the misses that it avoids.
MOST_PAGES = 64 * MIB // PAGE_BYTES
_MOST_FILE_BYTES = MIB
_RUN = re.compile(r"([0-9a-f]{1,10})\+([0-9a-f]{1,10})")
_HINT = "it is only a hint: the session resumes without it"


class Run(NamedTuple):
    """Pages of PAGE_BYTES that lie beside each other."""

    first: int
    pages: int


@dataclass(frozen=True)
class WorkingSet:
    """Runs of pages in the order in which a guest with ``ram_bytes`` of memory first touched them."""

    ram_bytes: int
    runs: tuple[Run, ...]

    @property
    def pages(self) -> int:
        return sum(run.pages for run in self.runs)

    def encode(self) -> bytes:
        runs = " ".join(f"{run.first:x}+{run.pages:x}" for run in self.runs)
        fields = {"ram_bytes": self.ram_bytes, "crc32": zlib.crc32(runs.encode()), "runs": runs}
        return document.encode(FORMAT, fields)

    @classmethod
    def decode(cls, content: bytes) -> WorkingSet:
        """Raises StoreDamaged or UnknownFormat."""
        fields = document.decode(content, FORMAT, WORKING_SET_NAME)
        text, ram_bytes = fields.text("runs"), fields.count("ram_bytes")
        if zlib.crc32(text.encode()) != fields.count("crc32"):
            raise StoreDamaged(f"{WORKING_SET_NAME} is damaged: its runs are not what was written", _HINT)
        return _require_inside(cls(ram_bytes, tuple(_run_of(word) for word in text.split())))


def _run_of(word: str) -> Run:
    match = _RUN.fullmatch(word)
    if not match:
        raise StoreDamaged(f"{WORKING_SET_NAME} is damaged: {word[:20]!r} is no run of pages", _HINT)
    return Run(int(match[1], 16), int(match[2], 16))


def _require_inside(found: WorkingSet) -> WorkingSet:
    last = found.ram_bytes // PAGE_BYTES
    if found.pages > MOST_PAGES or any(run.pages < 1 or run.first + run.pages > last for run in found.runs):
        raise StoreDamaged(f"{WORKING_SET_NAME} is damaged: it names pages that cannot be", _HINT)
    return found


def read_working_set(folder: Path, ram_bytes: int) -> WorkingSet | None:
    """The working set of the checkpoint in ``folder``, if it is one for so much memory. Raises nothing."""
    path = folder / WORKING_SET_NAME
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            return None
        found = WorkingSet.decode(path.read_bytes())
    except (OSError, ValueError, SoulpadError):
        return None
    return found if found.ram_bytes == ram_bytes else None


def write_working_set(folder: Path, working_set: WorkingSet) -> None:
    """Puts it beside a checkpoint's files, or replaces the one that is there; durable."""
    write_durably(folder / WORKING_SET_NAME, working_set.encode())


def runs_of(pages: Iterable[int]) -> list[Run]:
    """Page numbers, in any order, as runs in the order of their addresses."""
    runs: list[Run] = []
    for page in sorted(pages):
        if runs and page == runs[-1].first + runs[-1].pages:
            runs[-1] = Run(runs[-1].first, runs[-1].pages + 1)
        else:
            runs.append(Run(page, 1))
    return runs
