"""Loop devices and mounts that nothing is left of, whatever ends the process.

All of it happens in a mount namespace of its own (``chamber.py``), and a loop device goes away by itself with its last
user (LO_FLAGS_AUTOCLEAR). Source: Linux, include/uapi/linux/loop.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run, start
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES
from tests.powercut.fusefile import MOUNT_OPTIONS

# The product's own, and one more: several images of one file system are mounted at a time.
XFS_OPTIONS = "noatime,nodev,nosuid,noexec,nouuid"

_LOOP_CONFIGURE, _LOOP_CTL_GET_FREE, _AUTOCLEAR = 0x4C0A, 0x4C82, 4
_LOOP_CONFIG = struct.Struct("<2I5Q4I160s2Q64x")  # file, block size, then loop_info64
_XFS_IOC_GOINGDOWN, _WITHOUT_THE_LOG = 0x8004587D, 2  # Linux, fs/xfs/libxfs/xfs_fs.h
_POLL_SECONDS = 0.01


@contextmanager
def logged_file(image: Path, log: Path, mount_point: Path) -> Iterator[Path]:
    """A file with the contents of ``image``, at ``mount_point``; what is written to it is in both, and in ``log``.

    The server has a mount namespace of its own, of before the mounts. When all are killed at once, the last one in a
    namespace unmounts what is in it: a server that waits there for its own answers never ends.
    """
    mount_point.touch()
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    try:
        server = [sys.executable, "-m", "tests.powercut.fusefile", str(descriptor), str(image), str(log)]
        apart = ["unshare", "--mount", "--propagation", "private"]
        process = start([*apart, *server], pass_fds=[descriptor], stderr=None)
        while not log.exists() and process.poll() is None:
            time.sleep(_POLL_SECONDS)
        options = f"fd={descriptor},{MOUNT_OPTIONS}"
        run(["mount", "-i", "-t", "fuse", "-o", options, "powercut", mount_point], pass_fds=[descriptor])
    finally:
        os.close(descriptor)
    try:
        yield mount_point
    finally:
        run(["umount", "--lazy", mount_point])  # a loop device may need a moment to let go of it
        process.wait()


@contextmanager
def mounted_xfs(image: Path, mount_point: Path) -> Iterator[Path]:
    """An XFS image, mounted through a loop device of the store's sectors. Raises ProgramFailed."""
    with _loop_device(image) as device:
        run(["mount", "-t", "xfs", "-o", XFS_OPTIONS, device, mount_point])
    try:
        yield mount_point
    finally:
        run(["umount", mount_point])


def shut_down(mount_point: Path) -> None:
    """XFS stops at once, as if the power went: what is in memory alone, its log's end too, is lost."""
    descriptor = os.open(mount_point, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _XFS_IOC_GOINGDOWN, struct.pack("<I", _WITHOUT_THE_LOG))
    finally:
        os.close(descriptor)


@contextmanager
def _loop_device(backing: Path) -> Iterator[Path]:
    """A loop device over a file; when the block ends it lives as long as it is mounted."""
    file = os.open(backing, os.O_RDWR)
    try:
        path, descriptor = _configure(file)
    finally:
        os.close(file)
    try:
        yield path
    finally:
        os.close(descriptor)


def _configure(file: int) -> tuple[Path, int]:
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        while True:
            path = Path(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")
            descriptor = os.open(path, os.O_RDWR)
            settings = _LOOP_CONFIG.pack(file, ENCRYPTION_SECTOR_BYTES, *[0] * 5, 0, 0, 0, _AUTOCLEAR, bytes(160), 0, 0)
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, settings)
                return path, descriptor
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise ProgramFailed(f"{path} cannot be set up: {error.strerror}") from None
    finally:
        os.close(control)
