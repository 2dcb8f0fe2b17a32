"""The encrypted store: unlock, mount, grow, close. Only the booted host does this; it has device-mapper.

The volume is mounted in this service's own mount namespace, so nothing else keeps it busy. Closing it takes the key
out of the kernel's memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soulpad.base.errors import ProgramFailed, StoreDamaged, WrongPassphrase
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
from soulpad.session import writeback
from soulpad.session.thispc import PARCELS_MAP, Stick, store_of

SYSFS = Path("/sys/class/block")
KEEPER = Path("/run/soulpad/keeper")
MAPPING = "soulpad-parcels"
MAPPED = Path("/dev/mapper") / MAPPING
MOUNT_POINT = Path("/run/soulpad-store")
WRONG_KEY_CODE = 2
WORTH_GROWING_BYTES = 64 * MIB
# Guest RAM is touched in hundreds of scattered places at a resume, and each first touch reads ahead: a USB disk's
# 128 KiB make 70 MB of what 16 KiB make 31 (docs/decisions/0001-resume.md). A file keeps the value it was opened with.
READ_AHEAD_KIB = 16


def open_argv(partition: Path) -> list[str]:
    """cryptsetup's command line; the secret comes on stdin. The work queues are bypassed: on a PC's single stick
    they only add latency (cryptsetup(8), --perf-*)."""
    options = ["--type", "luks2", "--key-file", "-", "--perf-no_read_workqueue", "--perf-no_write_workqueue"]
    return ["cryptsetup", "open", *options, os.fspath(partition), MAPPING]


def unlock(partition: Path, secret: Secret) -> None:
    """Opens the volume; raises WrongPassphrase, or StoreDamaged when there is no whole LUKS header."""
    try:
        run(open_argv(partition), stdin=secret.reveal())
    except ProgramFailed as error:
        if error.code == WRONG_KEY_CODE:
            raise WrongPassphrase("That passphrase does not open this stick.", "Try again.") from None
        raise StoreDamaged(
            f"The encrypted store cannot be opened: {error.complaint}.",
            "Restore the stick from a backup. Nothing was changed.",
        ) from None


@contextmanager
def mounted() -> Iterator[Path]:
    """Mounts the unlocked volume until the block ends, then closes it."""
    MOUNT_POINT.mkdir(mode=0o711, exist_ok=True)  # QEMU, as its own user, passes through
    try:
        run(["mount", "-t", "xfs", "-o", "noatime,nodev,nosuid,noexec", MAPPED, MOUNT_POINT])
    except ProgramFailed as error:
        run(["cryptsetup", "close", MAPPING])
        raise StoreDamaged(
            f"The store's file system cannot be mounted: {error.complaint}.",
            "Restore the stick from a backup. Nothing was changed.",
        ) from None
    try:
        read_ahead_file().write_text(str(READ_AHEAD_KIB))
        with writeback.held_back(MAPPED):
            yield MOUNT_POINT
    finally:
        run(["umount", MOUNT_POINT])
        run(["cryptsetup", "close", MAPPING])


def read_ahead_file() -> Path:
    """Where the kernel is told how much to read ahead on the mapped volume."""
    return SYSFS / MAPPED.resolve().name / "queue" / "read_ahead_kb"


def grow(stick: Stick) -> bool:
    """Lets partition and file system fill the stick; a no-op on all but the first boot. Returns whether it grew.

    Each step may be cut by a power failure and is made up for at the next boot: sfdisk replaces the table in one
    piece per copy, the kernel and both maps are told, XFS grows in a transaction.
    """
    if free_behind(stick) >= WORTH_GROWING_BYTES:
        number = (SYSFS / stick.parcels.name / "partition").read_text().strip()
        run(["sfdisk", "--quiet", "--no-reread", "--force", "-N", number, stick.disk], stdin=b", +\n")
        run(["partx", "--update", "--nr", number, stick.disk])
        if store_of(stick) != stick.parcels:
            run([KEEPER, "resize", PARCELS_MAP])
        run(["cryptsetup", "resize", MAPPING])
    before = os.statvfs(MOUNT_POINT).f_blocks
    run(["xfs_growfs", "-d", MOUNT_POINT])
    return os.statvfs(MOUNT_POINT).f_blocks > before


def free_behind(stick: Stick, sysfs: Path = SYSFS) -> int:
    """Bytes between the end of the parcels partition and the end of the stick."""
    partition = sysfs / stick.parcels.name
    end = int((partition / "start").read_text()) + int((partition / "size").read_text())
    return (int((sysfs / stick.disk.name / "size").read_text()) - end) * 512
