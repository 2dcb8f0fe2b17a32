"""Disks of one Debian at three times: new, after a big upgrade, after a light day. Changed in place by Debian's own
programs, so that the file system lays things where it lays them in a guest. Needs root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab.sparsecopy import copy_sparse
from builder.debian.chroot_scratch import end_processes_rooted_below
from builder.debian.mirror import DebianMirror
from soulpad.base.run import run

RELEASE = "bookworm"  # old enough to have many updates after its last image
RECIPES = Path(__file__).resolve().parent.parent / "series"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_AUTOLOGIN = "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I $TERM\n"
_NO_SERVICES = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True)
class DiskRecipe:
    """What the disks hold. ``extra``: programs that the upgrade brings; ``goes``: what it takes away."""

    disk_bytes: int
    variant: str
    programs: tuple[str, ...]
    extra: tuple[str, ...]
    goes: tuple[str, ...]


def make_first(recipe: DiskRecipe, mirror: DebianMirror, scratch: Path, image: Path) -> None:
    """A Debian without security updates, as a file system in ``image``; kernel and initrd beside it."""
    root = scratch / "root"
    source = f"deb {mirror.main} {RELEASE} main"
    quiet = ["--quiet", "--mode=root", f"--variant={recipe.variant}", '--aptopt=Acquire::Languages "none"']
    run(["mmdebstrap", *quiet, f"--include={','.join(recipe.programs)}", RELEASE, root, source])
    prepare(root, mirror)
    run(["truncate", f"--size={recipe.disk_bytes}", image])
    run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, image])
    for kind in ("vmlinuz", "initrd.img"):
        newest = max((root / "boot").glob(f"{kind}-*"))
        run(["cp", newest, image.parent / kind])


def prepare(root: Path, mirror: DebianMirror) -> None:
    """Lets the disk boot to a shell on the serial port, and know its updates."""
    unit = root / "etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(_AUTOLOGIN)
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/apt/sources.list.d/security.list").write_text(f"deb {mirror.security} {RELEASE}-security main\n")


def make_next(before: Path, image: Path, recipe: str, words: Mapping[str, str], scratch: Path) -> None:
    """``before`` after one of the recipes, as ``image``."""
    copy_sparse(before, image)
    with mounted(image, scratch / "mnt") as root:
        script = (RECIPES / recipe).read_bytes()
        environment = [f"{name}={value}" for name, value in words.items()]
        fixed = [f"PATH={_PATH}", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"]
        run(["env", "-i", *fixed, *environment, "chroot", root, "bash", "-eu"], stdin=script)


@contextmanager
def mounted(image: Path, point: Path) -> Iterator[Path]:
    """The image's file system, ready for a chroot. Whoever gave ``point`` unmounts what an error leaves."""
    point.mkdir(exist_ok=True)
    run(["mount", "-t", "ext4", "-o", "loop", image, point])
    run(["mount", "-t", "proc", "proc", point / "proc"])
    policy = point / "usr/sbin/policy-rc.d"
    policy.write_text(_NO_SERVICES)
    policy.chmod(0o755)
    run(["cp", "/etc/resolv.conf", point / "etc/resolv.conf"])
    yield point
    end_processes_rooted_below(point)
    policy.unlink()
    run(["umount", point / "proc"])
    run(["umount", point])
