"""Runs a program and says what it took: ``python -m benchmarks.lab.metered OUT ARGV...``.

A process of its own for each, because the kernel counts time and memory of ended children for each parent as a whole.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from soulpad.base.run import run


def main(out: Path, argv: list[str]) -> None:
    """Writes seconds, CPU seconds and the largest memory in bytes to ``out``, and what the program said."""
    began = time.monotonic()
    said = run(argv).stdout
    seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    out.write_text(
        json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": used.ru_maxrss * 1024, "said": said})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
