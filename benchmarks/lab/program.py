"""How each benchmark behaves as a program: figures or one line of complaint, and nothing left behind in either case."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from typing import Any

from soulpad.base.errors import BadInput, Interrupted, SoulpadError
from soulpad.base.progress import Progress
from soulpad.cli.main import complain
from soulpad.cli.output import emit, progress

Figures = dict[str, Any]


def run_benchmark(
    arguments: argparse.Namespace,
    measure: Callable[[argparse.Namespace, Progress], Figures],
    show: Callable[[Figures], None],
) -> int:
    """Measures, then prints for people or, where ``arguments.json`` says so, one JSON object.

    Returns the exit code (docs/exit-codes.md).
    """
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a test that gives up leaves nothing behind either
        with progress() as bar:
            report = measure(arguments, bar)
    except SoulpadError as error:
        return complain(error)
    except KeyboardInterrupt:
        return complain(Interrupted("interrupted; nothing is left of it", "run it again when you like"))
    emit(report) if arguments.json else show(report)
    return 0


def require_root() -> None:
    """Raises BadInput: mounts, limits and roots are made."""
    if os.geteuid() != 0:
        raise BadInput("this benchmark mounts, throttles and changes roots, which needs root", "run it with sudo")
