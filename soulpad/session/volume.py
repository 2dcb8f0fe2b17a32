"""The encrypted store: widen, unlock, mount, grow, close. Only the booted host does this; it has device-mapper.

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
from soulpad.base.units import KIB, MIB
from soulpad.session import writeback
from soulpad.session.thispc import PARCELS_MAP, Stick, store_of
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES

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


def widen(stick: Stick) -> None:
    """Lets the partition reach to the end of the stick, while the store is still closed; mostly a no-op.

    A power cut leaves the old table or the new one: sfdisk replaces it in one piece per copy. Raises ProgramFailed.
    """
    size_bytes = wanted_bytes(stick)
    if size_bytes is None:
        return
    number = (SYSFS / stick.parcels.name / "partition").read_text().strip()
    size = f", {size_bytes // KIB}KiB\n".encode()
    run(["sfdisk", "--quiet", "--no-reread", "--force", "-N", number, stick.disk], stdin=size)
    run(["partx", "--update", "--nr", number, stick.disk])
    if store_of(stick) != stick.parcels:
        run([KEEPER, "resize", PARCELS_MAP])


def wanted_bytes(stick: Stick, sysfs: Path = SYSFS) -> int | None:
    """How large the parcels partition should be made; None when it is right as it is.

    A multiple of 1 MiB as all of ours, and 1 MiB is left for the backup table. dm-crypt opens nothing that is no
    multiple of its sectors: a partition that an earlier version made so is cut to whole ones.
    """
    sector_bytes = 512  # what sysfs counts in, whatever the disk's own are
    start_bytes = int((sysfs / stick.parcels.name / "start").read_text()) * sector_bytes
    size_bytes = int((sysfs / stick.parcels.name / "size").read_text()) * sector_bytes
    disk_bytes = int((sysfs / stick.disk.name / "size").read_text()) * sector_bytes
    largest_bytes = (disk_bytes - MIB) // MIB * MIB - start_bytes
    if largest_bytes - size_bytes >= WORTH_GROWING_BYTES:
        return largest_bytes
    return size_bytes - size_bytes % ENCRYPTION_SECTOR_BYTES if size_bytes % ENCRYPTION_SECTOR_BYTES else None


def grow() -> bool:
    """Lets the mounted file system fill its volume. Returns whether it grew. XFS does it in a transaction."""
    before = os.statvfs(MOUNT_POINT).f_blocks
    run(["xfs_growfs", "-d", MOUNT_POINT])
    return os.statvfs(MOUNT_POINT).f_blocks > before
