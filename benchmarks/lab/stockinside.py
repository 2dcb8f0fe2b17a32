"""First process of the namespaces in which the stock root is finished: what it mounts ends with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from soulpad.base.run import run

DEBS = Path("var/cache/stock")
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
# What Debian's packages enable when they are installed; the host's root has lost it.
# fmt: off
ENABLED = (
    "getty@tty1.service", "serial-getty@ttyS0.service", "remote-fs.target", "systemd-timesyncd.service",
    "NetworkManager.service", "wpa_supplicant.service", "seatd.service", "logrotate.timer", "fstrim.timer",
    "libvirtd.service", "libvirt-guests.service",
)
# fmt: on


def mount_argvs(root: Path) -> list[list[str]]:
    """What packages' scripts need. An empty /run tells them that no systemd runs, so they start nothing."""
    return [
        ["mount", "--rbind", "/dev", f"{root}/dev"],
        ["mount", "-t", "proc", "proc", f"{root}/proc"],
        ["mount", "-t", "tmpfs", "tmpfs", f"{root}/run"],
        ["mount", "-t", "tmpfs", "tmpfs", f"{root}/tmp"],
    ]


def install_argvs(debs: Iterable[str]) -> list[list[str]]:
    """The packages, then what a person would do after installing: all with paths inside the root."""
    return [
        ["dpkg", "--force-confold", "--unpack", *debs],
        ["dpkg", "--force-confold", "--configure", "-a"],
        ["systemctl", "set-default", "multi-user.target"],
        ["systemctl", "enable", *ENABLED],
        ["systemd-machine-id-setup"],
        ["passwd", "--delete", "root"],
    ]


def initramfs_argv(kernel_version: str) -> list[str]:
    """Debian's own initramfs. The diskimage-builder root has a do-nothing program under the usual name."""
    return ["update-initramfs.real", "-c", "-k", kernel_version]


def main(arguments: list[str]) -> int:
    """``ROOT install`` or ``ROOT initramfs VERSION``"""
    root, step = Path(arguments[0]), arguments[1]
    for argv in mount_argvs(root):
        run(argv)
    debs = sorted(f"/{path.relative_to(root)}" for path in (root / DEBS).glob("*.deb"))
    argvs = install_argvs(debs) if step == "install" else [initramfs_argv(arguments[2])]
    for argv in argvs:
        run(["chroot", root, *argv], env=ENVIRONMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
