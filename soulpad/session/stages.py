"""Stage times of resume and suspend, as in tables 3 and 4 of the SoulPad paper.

What ran before the kernel is timed by the CPU's time stamp counter, which starts at power-on (paper, section 4.1).
The log lies in the store, one JSON object a line: it survives on the stick and tells nothing to a finder.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from soulpad.session.report import uptime_seconds

MARKS = Path("/run/soulpad/marks")
TSC_LIBRARY = Path("/usr/lib/soulpad/lib/libsoulpad-tsc.so")
CALIBRATION_SECONDS = 0.02

# mark at the end of a stage -> the stage's name
BOOT_STAGES = {
    "initramfs-start": "kernel",
    "root-mounted": "initramfs",
    "prompt-drawn": "host to prompt",
}


@dataclass
class StageClock:
    """Consecutive stages; ``seconds`` by name, in order."""

    kind: Literal["resume", "suspend", "checkpoint"]
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def done(self, stage: str) -> None:
        """The stage that began with the last call (or with the clock) is over."""
        now = time.monotonic()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self.began, 3)
        self.began = now

    def skip(self) -> None:
        """What went by since the last call belongs to no stage (a person was thinking)."""
        self.began = time.monotonic()


def boot_stages(marks: dict[str, float], before_kernel_seconds: float | None) -> dict[str, float]:
    """Stage seconds from the uptimes that initramfs and console noted."""
    stages = {} if before_kernel_seconds is None else {"firmware and boot loader": round(before_kernel_seconds, 2)}
    last = 0.0
    for mark, stage in BOOT_STAGES.items():
        if mark in marks:
            stages[stage] = round(marks[mark] - last, 2)
            last = marks[mark]
    return stages


def read_marks(path: Path = MARKS) -> dict[str, float]:
    """The uptimes noted during the boot; empty when there are none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: float(seconds) for name, seconds in (line.split() for line in lines if len(line.split()) == 2)}


def seconds_before_kernel() -> float | None:
    """Seconds from power-on to the kernel's start, or None where the counter cannot be read."""
    if not TSC_LIBRARY.exists():
        return None
    read = ctypes.CDLL(os.fspath(TSC_LIBRARY)).soulpad_tsc
    read.restype = ctypes.c_uint64
    first, began = read(), time.monotonic()
    time.sleep(CALIBRATION_SECONDS)
    second, ended = read(), time.monotonic()
    ticks_per_second = (second - first) / (ended - began)
    return max(0.0, float(second / ticks_per_second) - uptime_seconds())


def append_to_log(path: Path, clock: StageClock, parcel_uuid: str, generation: int) -> None:
    """Adds a line to the log on the stick and makes it durable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {
        "kind": clock.kind,
        "at": int(time.time()),
        "parcel": parcel_uuid,
        "generation": generation,
        "seconds": clock.seconds,
    }
    with path.open("a") as log:
        log.write(json.dumps(entry) + "\n")
        log.flush()
        os.fsync(log.fileno())
