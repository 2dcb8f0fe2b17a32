"""A folder for work with chroots and bind mounts that leaves nothing behind, however the work ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder for one build; afterwards neither processes, nor mounts, nor files of it are left."""
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield scratch
    finally:
        end_processes_rooted_below(scratch)
        _unmount_below(scratch)
        shutil.rmtree(scratch)


def end_processes_rooted_below(folder: Path) -> None:
    """A package's script may leave a process in the chroot (gpg-agent does), which holds its mounts."""
    for link in Path("/proc").glob("[0-9]*/root"):
        with suppress(OSError):
            if link.readlink().is_relative_to(folder):
                os.kill(int(link.parent.name), signal.SIGKILL)


def _unmount_below(folder: Path) -> None:
    """Unmounts everything below ``folder``. Raises ProgramFailed when something stays, before any file is removed:
    the machine's own /dev may be bound in there."""
    for _ in range(5):
        for point in mounts_below(folder, Path("/proc/self/mounts").read_text()):
            with suppress(ProgramFailed):
                run(["umount", point])
        if not mounts_below(folder, Path("/proc/self/mounts").read_text()):
            return
        time.sleep(1)
    raise ProgramFailed(f"mounts are left below {folder}", f"see them with: findmnt | grep {folder.name}")


def mounts_below(folder: Path, mounts: str) -> list[Path]:
    """The mount points below ``folder`` in a text like /proc/self/mounts, the last mounted first."""
    points = (Path(_unescape(line.split(" ")[1])) for line in mounts.splitlines())
    return [point for point in points if point.is_relative_to(folder)][::-1]


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
