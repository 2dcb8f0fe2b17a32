"""What a command shows: progress and tables for people on stderr, one JSON object on stdout for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

people = Console(stderr=True, highlight=False, soft_wrap=True)


class BarProgress:
    """Progress as a bar on a terminal, as one line a step elsewhere."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = None if bar.disable else bar.add_task("", total=None)
        self._quiet = bar.disable

    def step(self, name: str) -> None:
        if self._task is None:
            people.print(f"  {name}")
        else:
            self._bar.reset(self._task, description=name, total=None)

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=done_bytes, total=total_bytes)


@contextmanager
def progress() -> Iterator[BarProgress]:
    """Shows progress on stderr until the block ends."""
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=people, transient=True, disable=not people.is_terminal) as bar:
        yield BarProgress(bar)


def emit(result: Mapping[str, Any]) -> None:
    """Writes the one JSON object of ``--json``."""
    json.dump(result, sys.stdout, indent=1, default=str)
    sys.stdout.write("\n")
