"""Runs one of our modules in the unpacked host, in namespaces of its own: what it mounts or starts ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import start


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

    def call(self, module: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Runs ``module`` with the request as its only argument; returns the JSON object that it prints last.

        Its standard error is ours. Raises ProgramFailed. Whatever happens, nothing of it runs on.
        """
        process = start(self.argv(module, request), stdout=subprocess.PIPE, stderr=None)
        try:
            output, _ = process.communicate()
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise ProgramFailed(f"{module} ended with {process.returncode}", "what it said stands above")
        return dict(json.loads(output.splitlines()[-1]))
