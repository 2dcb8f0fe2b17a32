"""Milestones for whoever watches the PC from outside: one JSON line each on the kernel log, and on a serial port
when the kernel command line names one (``soulpad.report=ttyS0``; a laboratory's PC has one)."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

PREFIX = "SOULPAD"


def command_line_value(name: str, command_line: Path = Path("/proc/cmdline")) -> str | None:
    """The value of ``name=value`` on the kernel command line."""
    words = command_line.read_text().split() if command_line.exists() else []
    return next((word.split("=", 1)[1] for word in words if word.startswith(f"{name}=")), None)


def uptime_seconds() -> float:
    """Seconds since the kernel started."""
    return float(Path("/proc/uptime").read_text().split()[0])


def report(event: str, **facts: Any) -> None:
    """Tells of an event. Never fails and never blocks: nobody may be listening."""
    line = f"{PREFIX} {json.dumps({'event': event, 'uptime': uptime_seconds(), **facts})}\n".encode()
    targets = ["/dev/kmsg"]
    if serial := command_line_value("soulpad.report"):
        targets.append(f"/dev/{serial}")
    for target in targets:
        with contextlib.suppress(OSError):
            descriptor = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                os.write(descriptor, b"\n" + line if target != "/dev/kmsg" else line)
            finally:
                os.close(descriptor)
