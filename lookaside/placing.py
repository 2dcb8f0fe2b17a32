"""Files that get their names once they are whole and durable, on any file system that may hold a repository.

What a crash leaves: files in the staging folder, which count for nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from secrets import token_hex

from lookaside.errors import RepositoryFailed
from soulpad.base.durable import fsync_path

_NOREPLACE = 1  # linux/fs.h
_AT_FDCWD = -100
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_libc = ctypes.CDLL(None, use_errno=True)


def new_name(staging: Path) -> Path:
    """A name in the staging folder that nobody else uses."""
    return staging / token_hex(16)


def place(content: bytes, path: Path, staging: Path, *, replace: bool = True) -> None:
    """Makes ``content`` durable as ``path``. Raises FileExistsError if that is there and must not be replaced."""
    staged = new_name(staging)
    try:
        with staged.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        give_name(staged, path, replace=replace)
    finally:
        staged.unlink(missing_ok=True)


def give_name(staged: Path, path: Path, *, replace: bool = True) -> None:
    """Gives a durable file its name, durably. Raises FileExistsError if there is one and it must not be replaced."""
    make_folder(path.parent)
    if replace:
        staged.replace(path)  # commit point
    else:
        rename_if_free(staged, path)  # commit point
    fsync_path(path.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder below one that is there, durably."""
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        fsync_path(folder.parent)


def rename_if_free(old: Path, new: Path) -> None:
    """Renames, or raises FileExistsError: of several who try at once one succeeds.

    By renameat2(2), which ext4, XFS, Btrfs, FAT, exFAT, NTFS and SMB mounts of Linux can; by link(2) on NFS and most of
    what is mounted by FUSE. What can do neither holds no repository: raises RepositoryFailed.
    """
    number = renameat2_noreplace(old, new)
    if not number:
        return
    if number not in _CANNOT:
        raise OSError(number, os.strerror(number), os.fspath(new))
    try:
        os.link(old, new)
    except FileExistsError:
        if not old.samefile(new):  # it is ours: on NFS a request whose answer got lost is asked again
            raise
    except OSError as error:
        if error.errno not in (*_CANNOT, errno.EPERM):
            raise
        raise RepositoryFailed(
            f"{new.parent} lies on a file system that can neither rename without replacing nor link.",
            "keep the repository on ext4, XFS, exFAT, NTFS, NFS or SMB, mounted by the kernel's own driver",
        ) from None
    old.unlink()


def renameat2_noreplace(old: Path, new: Path) -> int:
    """The error number of renameat2(2), 0 when it succeeded."""
    done = _libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _NOREPLACE)
    return 0 if done == 0 else ctypes.get_errno()
