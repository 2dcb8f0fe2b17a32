"""What this machine lacks to build and try sticks, each with the command that mends it.

The packages come from ``setup/debian-packages.toml``, the same list that the Makefile installs from.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.debian.mirror import this_machines_mirror
from builder.places import ROOT
from soulpad.base.errors import SoulpadError
from soulpad.base.units import GIB, format_bytes

PACKAGE_LIST = ROOT / "setup" / "debian-packages.toml"
GROUPS = ("build", "try", "test", "benchmark")

PYTHON = (3, 11)
# A Debian root while it is built, its tar, the caches of packages, and a handful of sparse images.
FREE_BYTES = 12 * GIB
# Where Debian keeps administrators' programs, which an ordinary user's PATH leaves out.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")
# Bits of CapEff in proc(5): what a chroot with /proc and /dev in it takes. Root in a container may lack them.
BUILD_CAPABILITIES = {"CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27}


@dataclass(frozen=True)
class Package:
    """A Debian package that is wanted for its ``programs`` (on PATH) or ``files`` (patterns)."""

    name: str
    groups: tuple[str, ...]
    programs: tuple[str, ...]
    files: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Finding:
    """``said``: what was found, or what is missing. ``mend``: a command or advice; empty when all is well.

    ``package``: the Debian package that mends it. ``required`` is false for what only makes things faster.
    """

    name: str
    ok: bool
    said: str
    mend: str = ""
    package: str = ""
    required: bool = True


def examine(groups: Iterable[str], kvm_probe: Callable[[], str] | None = None) -> list[Finding]:
    """Everything that matters for ``groups``. ``kvm_probe`` returns why KVM is of no use, or nothing."""
    wanted = set(groups)
    return [
        python_finding(sys.version_info[:2]),
        *(package_finding(package) for package in packages(PACKAGE_LIST.read_text(), wanted)),
        *(_build_findings() if "build" in wanted else ()),
        *(_try_findings(kvm_probe) if "try" in wanted else ()),
        *(_test_findings() if "test" in wanted else ()),
    ]


def packages(toml: str, groups: set[str]) -> list[Package]:
    """The packages of any of ``groups``."""
    entries = (
        Package(
            name=entry["name"],
            groups=tuple(entry["groups"]),
            programs=tuple(entry.get("programs", ())),
            files=tuple(entry.get("files", ())),
            why=entry["why"],
        )
        for entry in tomllib.loads(toml)["package"]
    )
    return [package for package in entries if groups.intersection(package.groups)]


def package_finding(package: Package, path: str | None = None) -> Finding:
    """Whether a package's programs are on ``path`` (PATH by default), as ``soulpad`` itself will look for them."""
    missing = [program for program in package.programs if not shutil.which(program, path=path)]
    missing += [pattern for pattern in package.files if not any(Path("/").glob(pattern.lstrip("/")))]
    if not missing:
        return Finding(package.name, True, package.why)
    aside = [program for program in missing if shutil.which(program, path=":".join(SYSTEM_FOLDERS))]
    if aside == missing:
        return Finding(
            package.name,
            False,
            f"{', '.join(missing)} is installed where PATH does not lead ({package.why})",
            f"export PATH=$PATH:{':'.join(SYSTEM_FOLDERS[:2])}",
        )
    return Finding(
        package.name,
        False,
        f"{', '.join(missing)} is missing ({package.why})",
        f"sudo apt-get install {package.name}",
        package=package.name,
    )


def install_command(findings: Iterable[Finding]) -> str:
    """The one command for all packages that are missing, or nothing."""
    names = [finding.package for finding in findings if finding.package]
    return f"sudo apt-get install {' '.join(names)}" if names else ""


def python_finding(version: tuple[int, int]) -> Finding:
    """Whether this Python will do."""
    said = f"Python {version[0]}.{version[1]}"
    if version >= PYTHON:
        return Finding("python", True, said)
    needed = ".".join(map(str, PYTHON))
    return Finding("python", False, f"{said} is too old", f"use Python {needed} or later (Debian 12 has it)")


def root_finding(user_id: int, capabilities: int, has_sudo: bool) -> Finding:
    """Whether a Debian root can be built here: it takes a chroot. ``capabilities``: CapEff of proc(5)."""
    lacking = [name for name, bit in BUILD_CAPABILITIES.items() if not capabilities >> bit & 1]
    if user_id == 0 and not lacking:
        return Finding("root", True, "root, and a chroot can be made")
    if user_id == 0:
        return Finding(
            "root",
            False,
            f"root without {', '.join(lacking)}",
            "give the container these capabilities, or use a machine",
        )
    if has_sudo:
        return Finding("root", True, "not root: build the host image with sudo")
    return Finding("root", False, "not root, and no sudo: the host root is made in a chroot", "become root: su -")


def space_finding(free_bytes: int, folder: Path) -> Finding:
    """Whether caches and images find room."""
    said = f"{format_bytes(free_bytes)} free in {folder}"
    if free_bytes >= FREE_BYTES:
        return Finding("disk space", True, said)
    return Finding("disk space", False, said, f"free some space: a build wants {format_bytes(FREE_BYTES)}")


def mirror_finding() -> Finding:
    """Whether apt knows a Debian mirror: what is built is fetched from the machine's own."""
    try:
        mirror = this_machines_mirror()
    except SoulpadError as error:
        return Finding("apt", False, error.message, error.hint)
    return Finding("apt", True, f"packages come from {mirror.main}")


def kvm_finding(present: bool, probe: Callable[[], str] | None) -> Finding:
    """Whether KVM speeds the emulated PC up. The device's presence proves nothing: a guest must run on it."""
    slow = "the emulated PC works without it, several times slower"
    if not present:
        return Finding("kvm", False, f"no /dev/kvm: {slow}", "switch on VT-x or AMD-V in the firmware", required=False)
    if probe is None:
        said = "/dev/kvm is there; whether a guest runs on it was not tried"
        return Finding("kvm", True, said, "soulpad doctor --probe-kvm", required=False)
    reason = probe()
    if reason:
        return Finding("kvm", False, f"{reason}: {slow}", required=False)
    return Finding("kvm", True, "a guest ran on /dev/kvm", required=False)


def loop_finding(user_id: int, present: bool) -> Finding:
    """Whether tests can make loop devices."""
    if user_id == 0 and present:
        return Finding("loop devices", True, "they can be made")
    said = "not root" if present else "no /dev/loop-control"
    said += ": the tests of soulpad write are skipped"
    return Finding("loop devices", False, said, "sudo modprobe loop; run them as root", required=False)


def _build_findings() -> Iterator[Finding]:
    yield root_finding(os.geteuid(), _effective_capabilities(), bool(shutil.which("sudo")))
    yield space_finding(shutil.disk_usage(ROOT).free, ROOT)
    yield mirror_finding()


def _try_findings(probe: Callable[[], str] | None) -> Iterator[Finding]:
    yield kvm_finding(Path("/dev/kvm").exists(), probe)


def _test_findings() -> Iterator[Finding]:
    yield loop_finding(os.geteuid(), Path("/dev/loop-control").exists())


def _effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)
