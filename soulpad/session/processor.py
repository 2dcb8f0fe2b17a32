"""The PC's processor: what Linux says that it can do, and what it says of itself.

Linux hides ``vmx`` and ``svm`` in /proc/cpuinfo where the firmware has switched them off (arch/x86/kernel/cpu:
feat_ctl.c, amd.c). The processor still tells of them by CPUID, which the kernel's cpuid module reads out (cpuid(4)):
so a switch that can be turned is told from a processor that has none.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from soulpad.base.errors import SoulpadError
from soulpad.base.run import run

CPUID = Path("/dev/cpu/0/cpuid")
# flag -> CPUID leaf and bit of ECX (Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E)
VIRTUALISATION = {"vmx": (0x0000_0001, 5), "svm": (0x8000_0001, 2)}


def flags_of(cpuinfo: str) -> frozenset[str]:
    """The flags of the first processor in the text of /proc/cpuinfo; none when it has no such line."""
    for line in cpuinfo.splitlines():
        name, _, words = line.partition(":")
        if name.strip() == "flags":
            return frozenset(words.split())
    return frozenset()


def virtualisation_of(flags: frozenset[str], cpuid: Path = CPUID) -> str | None:
    """``vmx`` (Intel) or ``svm`` (AMD), switched on or off; None when the processor has neither."""
    return next((flag for flag in VIRTUALISATION if flag in flags), None) or hidden_virtualisation(cpuid)


def hidden_virtualisation(cpuid: Path) -> str | None:
    """The same from the processor itself; loads the kernel's cpuid module."""
    if not cpuid.exists():
        with suppress(SoulpadError):
            run(["modprobe", "cpuid"])
    return next((flag for flag, (leaf, bit) in VIRTUALISATION.items() if ecx_of(leaf, cpuid) >> bit & 1), None)


def ecx_of(leaf: int, cpuid: Path) -> int:
    """Register ECX of a CPUID leaf, or 0 where it cannot be read."""
    try:
        descriptor = os.open(cpuid, os.O_RDONLY)
    except OSError:
        return 0
    try:
        answer = os.pread(descriptor, 16, leaf)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    return int(struct.unpack("<4I", answer)[2]) if len(answer) == 16 else 0
