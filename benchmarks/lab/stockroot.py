"""The stock way's root: the stick's own Debian packages, started as Debian starts them.

From the same archive as the host, with what the host's recipe took away put back (units, generators) and libvirt's
daemon added. Needs root: it is unpacked with its owners, and packages are installed in it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.lab.stockinside import DEBS
from builder.debian.fetch import fetch
from soulpad.base.run import run

INSIDE = "benchmarks.lab.stockinside"
# systemd again: the host's recipe removed its generators. zstd: what Debian compresses an initramfs with.
PACKAGES = ("libvirt-daemon-system", "libvirt-clients", "zstd", "systemd", "systemd-container")
# The host's recipe removed systemd-container by force. apt plans nothing on such a root before it is whole again, so
# it is not told; the package is among PACKAGES.
REMOVED_DEPENDENCY = ", systemd-container | sysvinit-core"

OVERLAY_SCRIPT = """\
#!/bin/sh
[ "$1" = prereqs ] && exit 0
mkdir -p /run/live/host /run/live/changes
mount -o move ${rootmnt} /run/live/host
mount -t tmpfs -o mode=755 tmpfs /run/live/changes
mkdir -p /run/live/changes/upper /run/live/changes/work
lower=lowerdir=/run/live/host
mount -t overlay -o $lower,upperdir=/run/live/changes/upper,workdir=/run/live/changes/work overlay ${rootmnt}
"""

# Paused, the machine executes nothing: whether by KVM or by QEMU alone makes no difference to its start.
DOMAIN = """\
<domain type='qemu'>
  <name>session</name>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>
"""

# What a person types after logging in, and what the laboratory hears of it.
PROFILE = """\
awk '/^Mem(Total|Available)/ {print "STOCK", $1, $2}' /proc/meminfo > /dev/ttyS0
virsh --quiet create --paused /etc/session.xml > /dev/ttyS0 2>&1
result=$?
[ $result = 0 ] || systemctl --no-pager --lines=4 status 'libvirtd*' 'virtlogd*' > /dev/ttyS0
echo "STOCK session $result" > /dev/ttyS0
"""

# A first boot enables what is not ruled out; with these two libvirt's daemon ends for want of certificates. Debian's
# package leaves them off.
PRESET = "disable libvirtd-tcp.socket\ndisable libvirtd-tls.socket\n"

FILES = {
    "etc/systemd/system-preset/10-stock.preset": PRESET,
    "etc/hostname": "stock\n",
    "etc/initramfs-tools/modules": "squashfs\noverlay\n",
    "etc/initramfs-tools/conf.d/resume": "RESUME=none\n",
    "etc/initramfs-tools/scripts/local-bottom/overlay": OVERLAY_SCRIPT,
    "etc/session.xml": DOMAIN,
    "root/.profile": PROFILE,
}
EXECUTABLE = "etc/initramfs-tools/scripts/local-bottom/overlay"


def make_root(archive: Path, root: Path, work: Path) -> None:
    """Unpacks the archive into ``root`` and installs. Raises ProgramFailed; leaves no mount behind."""
    root.mkdir()
    run(["tar", "--numeric-owner", "-xpC", root, "-f", archive])
    unmask(root / "etc/systemd/system")
    fetch_packages(root, work)
    in_namespaces(root, "install")
    lay_files(root)
    shutil.rmtree(root / DEBS)


def make_initramfs(root: Path) -> Path:
    """Has Debian make its initramfs (MODULES=most is its default); returns it."""
    version = kernel_version(root)
    in_namespaces(root, "initramfs", version)
    return root / "boot" / f"initrd.img-{version}"


def kernel_version(root: Path) -> str:
    """Of the one kernel in the root."""
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    return kernel.name.removeprefix("vmlinuz-")


def unmask(units: Path) -> None:
    """Removes every mask, and the host's own default target."""
    for path in units.iterdir():
        if path.is_symlink() and (path.name == "default.target" or os.readlink(path) == os.devnull):  # noqa: PTH115
            path.unlink()


def fetch_packages(root: Path, work: Path) -> None:
    """Fetches PACKAGES and what they lack in ``root`` with this machine's apt, into ``root / DEBS``."""
    status = (root / "var/lib/dpkg/status").read_text().replace(REMOVED_DEPENDENCY, "")
    work.mkdir(parents=True, exist_ok=True)
    (root / DEBS).mkdir(parents=True)
    for package in fetch(PACKAGES, work, with_dependencies=True, installed=status):
        shutil.copy(package, root / DEBS)


def lay_files(root: Path) -> None:
    """FILES, and stamps that save the stock boot the work of a first one (systemd-update-done.service(8))."""
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / EXECUTABLE).chmod(0o755)
    with (root / "etc/libvirt/qemu.conf").open("a") as settings:
        settings.write('security_driver = "none"\n')
    for stamp in ("etc/.updated", "var/.updated"):
        (root / stamp).touch()


def in_namespaces(root: Path, *words: str) -> None:
    """Runs stockinside.py in a mount and a process namespace of its own; both end with it, come what may."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
    run([*unshare, sys.executable, "-m", INSIDE, root, *words])
