"""Cleans the tar of a root file system of what the building machine left in it.

The members that stay are copied byte for byte, so that no owner, mode or extended attribute is lost.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from soulpad.base.progress import Progress

# Folders that stay, empty. The build ends with its /dev bound in, and leaves /proc and /sys out altogether.
EMPTIED = (
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "var/lib/apt/lists",
    "var/cache/apt/archives",
    "etc/apt/sources.list.d",
)
# Which mirrors, name servers and proxy the building machine used is nobody's business.
DROPPED = (
    "etc/apt/sources.list",
    "etc/apt/apt.conf.d/60img-build-proxy",
    "etc/resolv.conf",
    "etc/resolv.conf.ORIG",
)
_MODES = {"proc": 0o555, "sys": 0o555, "tmp": 0o1777}


def belongs(member: str) -> bool:
    """Whether a tar member of this name (``./etc/hosts``) is part of the root itself."""
    path = PurePosixPath(member.removeprefix("./"))
    emptied = any(path.is_relative_to(folder) for folder in EMPTIED)
    return not emptied and str(path) not in DROPPED


def clean_tar(source: Path, target: Path, progress: Progress) -> None:
    """Writes ``target``: ``source`` without what does not belong, and with every folder of EMPTIED, empty."""
    total_bytes = source.stat().st_size
    with tarfile.open(source) as archive, source.open("rb") as dirty, target.open("wb") as clean:
        for start, end in _runs(_kept(archive)):
            _copy(dirty.fileno(), clean.fileno(), start, end)
            progress.advance(end, total_bytes)
        clean.seek(0, os.SEEK_END)
        for folder in EMPTIED:
            clean.write(_folder(folder))
        # pax, "ustar interchange format": an archive ends with two blocks of zeros
        clean.write(bytes(2 * tarfile.BLOCKSIZE))


def _kept(archive: tarfile.TarFile) -> Iterator[tuple[int, int]]:
    """Byte ranges of the members that stay: extended headers, header, content, padding."""
    pending: tarfile.TarInfo | None = None
    for member in archive:
        if pending:
            yield pending.offset, member.offset
        pending = member if belongs(member.name) else None
    if pending:
        yield pending.offset, archive.offset


def _runs(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Neighbouring ranges made one: a root has 30,000 files but few gaps."""
    run: tuple[int, int] | None = None
    for start, end in ranges:
        if run and run[1] == start:
            run = (run[0], end)
            continue
        if run:
            yield run
        run = (start, end)
    if run:
        yield run


def _copy(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        start += os.sendfile(target, source, start, end - start)


def _folder(name: str) -> bytes:
    info = tarfile.TarInfo(f"./{name}")
    info.type = tarfile.DIRTYPE
    info.mode = _MODES.get(name, 0o755)
    return info.tobuf(tarfile.PAX_FORMAT)
