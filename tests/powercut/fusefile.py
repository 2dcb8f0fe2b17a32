"""One file, served through /dev/fuse, whose writes and flushes are logged: the backing of a loop device.

The root of a FUSE file system may be a regular file (``rootmode``); then there are no names to look up and a dozen
operations are all that there is. This must be a process of its own: a thread that waits for a page of the file system
on the device would wait for itself. Source: Linux, include/uapi/linux/fuse.h, protocol 7.31.

Started as ``python -m tests.powercut.fusefile DESCRIPTOR IMAGE LOG`` with /dev/fuse open; ends with the mount.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
import time
from enum import IntEnum
from pathlib import Path

from tests.powercut.blocklog import LogWriter

FILE_MODE = stat.S_IFREG | 0o600
MOUNT_OPTIONS = f"rootmode={FILE_MODE:o},user_id=0,group_id=0"

_REQUEST = struct.Struct("<IIQQIIII")  # length, operation, request's number, node, user, group, process, extensions
_ANSWER = struct.Struct("<IiQ")  # length, error, request's number
_INIT = struct.Struct("<4I2H2I2H8I")
_ATTRIBUTES = struct.Struct("<QII6Q10I")
_OPENED = struct.Struct("<QII")
_TRANSFER = struct.Struct("<QQIIQII")  # of reads and writes: handle, offset, length, ...
_WRITTEN = struct.Struct("<II")
_STATISTICS = struct.Struct("<5Q4I6I")

_MAX_WRITE_BYTES = 1 << 20
_PAGES = _MAX_WRITE_BYTES // 4096
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22  # flags of INIT
_FOREVER_SECONDS = 1 << 30
_POLL_SECONDS = 0.01


class Operation(IntEnum):
    """The requests that come for one file; others are answered with "not implemented"."""

    GETATTR = 3
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25  # a descriptor is closed; not what a block device calls a flush
    INIT = 26


_UNANSWERED = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET


class LoggedFile:
    """The file's contents, in ``image``, and the log of what changes them."""

    def __init__(self, image: Path, log: LogWriter) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._size_bytes = image.stat().st_size
        self._log = log

    def answer(self, operation: int, body: memoryview) -> bytes:
        """The answer to a request. Raises OSError, whose number is an answer too."""
        match operation:
            case Operation.INIT:
                flags = _BIG_WRITES | _MAX_PAGES
                return _INIT.pack(7, 31, 0, flags, 1, 1, _MAX_WRITE_BYTES, 1, _PAGES, 0, *[0] * 8)
            case Operation.GETATTR:
                blocks, times = self._size_bytes // 512, [0] * 6
                owner_and_rest = (0, 0, 0, 4096, 0)
                return _ATTRIBUTES.pack(
                    _FOREVER_SECONDS, 0, 0, 1, self._size_bytes, blocks, *times, FILE_MODE, 1, *owner_and_rest
                )
            case Operation.OPEN:
                return _OPENED.pack(0, 0, 0)
            case Operation.READ:
                _, offset, length, *_ = _TRANSFER.unpack_from(body)
                return os.pread(self._image, length, offset)
            case Operation.WRITE:
                _, offset, length, *_ = _TRANSFER.unpack_from(body)
                self._write(offset, body[_TRANSFER.size : _TRANSFER.size + length])
                return _WRITTEN.pack(length, 0)
            case Operation.FSYNC:
                self._log.flush()
                return b""
            case Operation.STATFS:
                return _STATISTICS.pack(0, 0, 0, 1, 0, 4096, 255, 4096, 0, *[0] * 6)
            case Operation.RELEASE | Operation.FLUSH:
                return b""
        raise OSError(errno.ENOSYS, "not implemented")

    def _write(self, offset_bytes: int, data: memoryview) -> None:
        os.pwrite(self._image, data, offset_bytes)
        self._log.write(offset_bytes, data)


def serve(descriptor: int, file: LoggedFile) -> None:
    """Answers one request after the other until the file system is unmounted."""
    while True:
        try:
            request = memoryview(os.read(descriptor, _MAX_WRITE_BYTES + 65536))
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            if error.errno in (errno.ENOENT, errno.EINTR):  # the request was taken back
                continue
            if error.errno == errno.EPERM:  # not mounted yet
                time.sleep(_POLL_SECONDS)
                continue
            raise
        _, operation, number, *_ = _REQUEST.unpack_from(request)
        if operation in _UNANSWERED:
            continue
        failed, body = 0, b""
        try:
            body = file.answer(operation, request[_REQUEST.size :])
        except OSError as error:
            failed = -(error.errno or errno.EIO)
        os.writev(descriptor, [_ANSWER.pack(_ANSWER.size + len(body), failed, number), body])


if __name__ == "__main__":
    serve(int(sys.argv[1]), LoggedFile(Path(sys.argv[2]), LogWriter(Path(sys.argv[3]))))
