"""A block device opened for this program alone, past the page cache.

``O_EXCL`` makes the kernel refuse the open when anything has the device or a partition of it in use (a mount in any
namespace, swap, device-mapper); ``O_DIRECT`` makes reads come from the device, not from memory. See open(2),
and linux/fs.h for the ioctls.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import DeviceRefused, SoulpadError
from soulpad.base.units import GIB, MIB

BLKROGET = 0x125E
BLKRRPART = 0x125F
BLKSSZGET = 0x1268
BLKDISCARD = 0x1277
BLKGETSIZE64 = 0x80081272

BUFFER_BYTES = 4 * MIB
# A whole disk in one call could not be interrupted, and could take minutes.
DISCARD_BYTES = GIB


class DeviceFailed(SoulpadError):
    """The device gave an error while it was read or written."""

    exit_code = 22


def aligned_buffer(length_bytes: int = BUFFER_BYTES) -> memoryview:
    """Zeroed memory at a page boundary, as O_DIRECT needs it."""
    return memoryview(mmap.mmap(-1, length_bytes))


@dataclass(frozen=True)
class RawDevice:
    """An open device. All offsets and lengths are multiples of ``sector_bytes``, all buffers page-aligned."""

    path: Path
    descriptor: int
    size_bytes: int
    sector_bytes: int

    def write(self, offset_bytes: int, content: memoryview) -> None:
        """Writes all of ``content``; raises DeviceFailed naming the byte."""
        done = 0
        while done < len(content):
            try:
                done += os.pwrite(self.descriptor, content[done:], offset_bytes + done)
            except OSError as error:
                raise self._failed("written", offset_bytes + done, error) from None

    def read_into(self, offset_bytes: int, target: memoryview) -> None:
        """Fills ``target`` from the device; raises DeviceFailed naming the byte."""
        done = 0
        while done < len(target):
            try:
                count = os.preadv(self.descriptor, [target[done:]], offset_bytes + done)
            except OSError as error:
                raise self._failed("read", offset_bytes + done, error) from None
            if not count:
                raise self._failed("read", offset_bytes + done, OSError(errno.EIO, "the device ends here"))
            done += count

    def discard(self, advance: Callable[[int, int], None]) -> bool:
        """Tells the device that its contents are not needed; False where it cannot be told. What is read
        afterwards is anything: discarding is no way to get zeros."""
        for offset in range(0, self.size_bytes, DISCARD_BYTES):
            length = min(DISCARD_BYTES, self.size_bytes - offset)
            try:
                fcntl.ioctl(self.descriptor, BLKDISCARD, struct.pack("QQ", offset, length))
            except OSError:
                return False
            advance(offset + length, self.size_bytes)
        return True

    def flush(self) -> None:
        """Returns when the device has said that all is durable."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise DeviceFailed(f"{self.path} did not keep what was written: {_words(error)}", _TRY_ANOTHER) from None

    def reread_table(self) -> None:
        """Lets the kernel see the new partitions, where it can: pulling the stick out does it as well."""
        with suppress(OSError):
            fcntl.ioctl(self.descriptor, BLKRRPART)

    def _failed(self, verb: str, offset_bytes: int, error: OSError) -> DeviceFailed:
        return DeviceFailed(f"{self.path} cannot be {verb} at byte {offset_bytes}: {_words(error)}", _TRY_ANOTHER)


_TRY_ANOTHER = "try another USB port, then another stick: this one may be failing"


@contextmanager
def opened(path: Path, device_number: int) -> Iterator[RawDevice]:
    """Opens the device, which must still be the one that was looked at (``device_number``: its st_rdev).

    Raises DeviceRefused when it is in use, write-protected, gone, or not ours to open.
    """
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISBLK(status.st_mode) or status.st_rdev != device_number:
            raise DeviceRefused(f"{path} is another device than a moment ago", "look again with: soulpad devices")
        if _integer(descriptor, BLKROGET):
            raise DeviceRefused(f"{path} is write-protected", "move the switch at its side and put it in again")
        yield RawDevice(path, descriptor, _size_bytes(descriptor), _integer(descriptor, BLKSSZGET))
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        hints = {
            errno.EBUSY: "something uses it: unmount it, and stop what lies on it",
            errno.EACCES: "run it as root: sudo soulpad write ...",
            errno.EROFS: "move the switch at its side and put it in again",
        }
        hint = hints.get(error.errno or 0, "look again with: soulpad devices")
        raise DeviceRefused(f"{path} cannot be opened for writing: {_words(error)}", hint) from None


def _integer(descriptor: int, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(descriptor, request, bytes(4)))[0])


def _size_bytes(descriptor: int) -> int:
    return int(struct.unpack("Q", fcntl.ioctl(descriptor, BLKGETSIZE64, bytes(8)))[0])


def _words(error: OSError) -> str:
    return error.strerror or str(error)
