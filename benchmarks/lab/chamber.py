"""Runs one of our modules in the unpacked host, in namespaces of its own: what it mounts or starts ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import Process, start


@dataclass(frozen=True)
class Chamber:
    """``root``: the unpacked host. ``libraries``: the folder of its compiled libraries."""

    root: Path
    libraries: Path

    def argv(self, module: str, request: Mapping[str, Any]) -> list[str]:
        """The kill-child option makes the kernel end all that runs in there as soon as ``unshare`` is gone."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
        entry = [sys.executable, "-m", "benchmarks.lab.enter", str(self.root), str(self.libraries)]
        return [*unshare, *entry, module, json.dumps(request)]

    @contextmanager
    def started(self, module: str, request: Mapping[str, Any]) -> Iterator[Process]:
        """``module``, running with the request as its only argument; its standard error is ours, the rest are pipes.

        Whatever happens, nothing of it runs on after the block.
        """
        process = start(self.argv(module, request), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def call(self, module: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Runs ``module`` to its end; returns the JSON object that it prints last. Raises ProgramFailed."""
        with self.started(module, request) as process:
            output, _ = process.communicate()
        require_success(module, process.returncode)
        return dict(json.loads(output.splitlines()[-1]))


def require_success(module: str, code: int) -> None:
    """Raises ProgramFailed when a module's exit code is one of failure."""
    if code != 0:
        raise ProgramFailed(f"{module} ended with {code}", "what it said stands above")
