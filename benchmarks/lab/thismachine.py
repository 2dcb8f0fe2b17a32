"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from soulpad.base.units import KIB, MIB


def this_machine() -> dict[str, Any]:
    """What a reader needs to judge seconds by. ``load``: mean of running processes in the last minute, before we."""
    return {
        "cpu": field_of(Path("/proc/cpuinfo").read_text(), "model name"),
        "cores": os.cpu_count(),
        "memory_mib": int(field_of(Path("/proc/meminfo").read_text(), "MemTotal").split()[0]) * KIB // MIB,
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def field_of(text: str, name: str) -> str:
    """The first value of ``name`` in a text of ``name : value`` lines, or ``unknown``."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return next((value.strip() for key, value in pairs if key.strip() == name), "unknown")
