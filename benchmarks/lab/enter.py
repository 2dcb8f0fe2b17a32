"""First process of a chamber's namespaces: mounts, changes the root, runs the module, and reaps (chamber.py)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.lab.hostroot import MOUNT_POINTS
from benchmarks.lab.throttle import enter_throttled_group
from builder.host.image import PYTHON_HOME
from builder.places import ROOT
from soulpad.base.run import run

INTERPRETER = "/usr/bin/python3"
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin",
    "PYTHONPATH": f"/{PYTHON_HOME}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LIBVIRT_LOG_OUTPUTS": "3:file:/tmp/libvirt.log",  # it warns of all that is not its own way to run QEMU
}


def mount_argvs(root: Path, libraries: Path) -> list[list[str]]:
    """The mounts that make ``root`` a running host."""
    product, benchmarks, library_point = (str(root / point) for point in MOUNT_POINTS)
    return [
        ["mount", "--rbind", "/dev", f"{root}/dev"],
        ["mount", "--rbind", "/sys", f"{root}/sys"],
        ["mount", "-t", "proc", "proc", f"{root}/proc"],
        ["mount", "-t", "tmpfs", "tmpfs", f"{root}/run"],
        ["mount", "-t", "tmpfs", "tmpfs", f"{root}/tmp"],
        ["mount", "--bind", str(ROOT / "soulpad"), product],
        ["mount", "--bind", str(ROOT / "benchmarks"), benchmarks],
        ["mount", "--bind", str(libraries), library_point],
    ]


def hide_kvm(root: Path) -> None:
    """Neither side uses KVM here. Where it is there and does not work, libvirt would examine QEMU anew at each start,
    17 s long: it asks again as long as the file says that QEMU could use what QEMU says it cannot."""
    if (root / "dev/kvm").exists():
        nothing = root / "tmp/no-kvm"
        nothing.touch(mode=0)
        run(["mount", "--bind", nothing, root / "dev/kvm"])


def main(arguments: list[str]) -> int:
    """``ROOT LIBRARIES MODULE REQUEST``"""
    root, libraries, module, request = Path(arguments[0]), Path(arguments[1]), *arguments[2:]
    enter_throttled_group()
    for argv in mount_argvs(root, libraries):
        run(argv)
    hide_kvm(root)
    os.chroot(root)
    os.chdir("/")
    child = os.fork()
    if child == 0:
        os.execve(INTERPRETER, [INTERPRETER, "-m", module, request], ENVIRONMENT)
    return reap_until(child)


def reap_until(child: int) -> int:
    """Waits for all orphans, as a first process must (QEMU is one); returns the exit code of ``child``."""
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
