"""A block device made as slow as a stick, by the kernel's own throttling of a control group's input and output.

Version 1 (``blkio.throttle.*``) limits the root group, where its kernel accounts all writing back of cached pages.
Version 2 (``io.max``) has no limits for the root group: the benchmark's processes go into one of their own, to which
the memory controller charges what is written back for them. Either way the speeds are measured, not believed.
Source: Linux Documentation/admin-guide/cgroup-v1/blkio-controller.rst and cgroup-v2.rst, "IO Interface Files".
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run
from soulpad.base.units import MIB

CGROUPS = Path("/sys/fs/cgroup")
GROUP = "soulpad-lab"
PROBE_SECONDS = 3
TOLERANCE = 0.25


@dataclass(frozen=True)
class Speeds:
    """Bytes per second."""

    read: int
    write: int

    def to_fields(self) -> dict[str, int]:
        return {f"{name}_bytes_per_second": value for name, value in asdict(self).items()}


# What a cheap USB stick does with large blocks.
SLOW_STICK = Speeds(read=38_000_000, write=10_000_000)


def device_number(device: Path) -> str:
    """``MAJOR:MINOR`` of a block device."""
    number = device.stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def settings(number: str, speeds: Speeds | None, *, version_1: bool) -> dict[str, str]:
    """File below the cgroup mount -> what to write there. ``speeds`` None: no limit."""
    if version_1:
        read, write = (speeds.read, speeds.write) if speeds else (0, 0)
        return {
            "blkio/blkio.throttle.read_bps_device": f"{number} {read}",
            "blkio/blkio.throttle.write_bps_device": f"{number} {write}",
        }
    limits = f"rbps={speeds.read} wbps={speeds.write}" if speeds else "rbps=max wbps=max"
    return {f"{GROUP}/io.max": f"{number} {limits}"}


def has_version_1(cgroups: Path = CGROUPS) -> bool:
    """Whether the throttle is the one of cgroup version 1."""
    return (cgroups / "blkio/blkio.throttle.read_bps_device").exists()


def throttle(device: Path, speeds: Speeds | None) -> None:
    """Sets or (None) lifts the limits of a device."""
    for name, value in settings(device_number(device), speeds, version_1=has_version_1()).items():
        (CGROUPS / name).write_text(value)


def enter_throttled_group() -> None:
    """Puts this process and its children where the limits apply. Raises ProgramFailed when there is no throttle."""
    if has_version_1():
        (CGROUPS / "blkio/cgroup.procs").write_text(str(os.getpid()))
        return
    try:
        (CGROUPS / "cgroup.subtree_control").write_text("+io +memory")
        (CGROUPS / GROUP).mkdir(exist_ok=True)
        (CGROUPS / GROUP / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        raise ProgramFailed(
            f"this machine's kernel cannot throttle a disk: {error}",
            "it needs the cgroup controller blkio (version 1) or io (version 2)",
        ) from None


def leave_throttled_group() -> None:
    """Removes the group that enter_throttled_group made; its processes must have ended."""
    if (CGROUPS / GROUP).exists():
        (CGROUPS / GROUP).rmdir()


def measured_speeds(device: Path, folder: Path, limits: Speeds) -> Speeds:
    """What the throttled ``device``, whose file system has ``folder``, really does: reading past the page cache,
    writing through it (as a virtual machine's memory is written). Raises ProgramFailed if that is not ``limits``."""
    probe = folder / "speed-probe"
    read_mib, write_mib = (max(8, PROBE_SECONDS * speed // MIB) for speed in (limits.read, limits.write))
    try:
        write = _speed(["dd", "if=/dev/zero", f"of={probe}", "bs=1M", f"count={write_mib}", "conv=fsync"], write_mib)
        read = _speed(["dd", f"if={device}", "of=/dev/null", "bs=1M", f"count={read_mib}", "iflag=direct"], read_mib)
    finally:
        probe.unlink(missing_ok=True)
    return require_near(Speeds(read, write), limits)


def require_near(measured: Speeds, limits: Speeds) -> Speeds:
    """The measured speeds, if they are the limits'; raises ProgramFailed."""
    pairs = (("read", measured.read, limits.read), ("write", measured.write, limits.write))
    for name, found, wanted in pairs:
        if abs(found - wanted) > TOLERANCE * wanted:
            raise ProgramFailed(
                f"the throttle does not hold: {name} at {found / 1e6:.1f} MB/s instead of {wanted / 1e6:.1f} MB/s",
                "is this machine's disk slower than that, or busy with something else?",
            )
    return measured


def _speed(argv: list[str], count_mib: int) -> int:
    began = time.monotonic()
    run(argv)
    return int(count_mib * MIB / (time.monotonic() - began))
