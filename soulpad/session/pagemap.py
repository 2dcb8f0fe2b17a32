"""Which pages of a file a process has in its page tables: what it touched, and what the kernel mapped around that.

mincore(2) would tell what is in the page cache, and so count what was read ahead and never used. The kernel's page
tables are nearer to the truth: a fault maps its own page, and of the 64 KiB around it those that are in the cache.
Source: Linux Documentation/admin-guide/mm/pagemap.rst, PAGEMAP_SCAN (Linux 6.7).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soulpad.store.workingset import PAGE_BYTES, Run

PROC = Path("/proc")
_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg)
_PAGE_IS_PRESENT = 1 << 3
_MOST_REGIONS = 4096


class _ScanArgument(ctypes.Structure):
    """``struct pm_scan_arg`` of linux/fs.h."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages",
            "category_inverted", "category_mask", "category_anyof_mask", "return_mask",
        )
    ]  # fmt: skip


class _PageRegion(ctypes.Structure):
    """``struct page_region`` of linux/fs.h."""

    _fields_ = [("start", ctypes.c_uint64), ("end", ctypes.c_uint64), ("categories", ctypes.c_uint64)]


@dataclass(frozen=True)
class Mapping:
    """Where a process sees a file: addresses, and the byte of the file at ``start``."""

    start: int
    end: int
    offset: int


def mappings_of(maps: str, path: Path) -> list[Mapping]:
    """The mappings of ``path`` in the text of /proc/PID/maps (proc_pid_maps(5))."""
    found = []
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == os.fspath(path):
            start, end = (int(address, 16) for address in fields[0].split("-"))
            found.append(Mapping(start, end, int(fields[2], 16)))
    return found


def process_that_maps(path: Path, program: str, proc: Path = PROC) -> int | None:
    """The id of the process named ``program...`` that has ``path`` mapped."""
    for entry in proc.iterdir():
        with contextlib.suppress(OSError):  # a process may end while we look at it
            named = entry.name.isdigit() and (entry / "comm").read_text().startswith(program)
            if named and mappings_of((entry / "maps").read_text(), path):
                return int(entry.name)
    return None


def mapped_runs(process: int, path: Path, proc: Path = PROC) -> list[Run]:
    """Pages of ``path`` that the process has in its page tables, by address; raises OSError when it is gone."""
    folder = proc / str(process)
    mappings = mappings_of((folder / "maps").read_text(), path)
    descriptor = os.open(folder / "pagemap", os.O_RDONLY)
    try:
        return [run for mapping in mappings for run in _present(descriptor, mapping)]
    finally:
        os.close(descriptor)


def cpu_seconds(process: int, proc: Path = PROC) -> float:
    """Processor time that the process has used outside the kernel, its guest's included (proc_pid_stat(5))."""
    fields = (proc / str(process) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def _present(descriptor: int, mapping: Mapping) -> Iterator[Run]:
    regions = (_PageRegion * _MOST_REGIONS)()
    position = mapping.start
    while position < mapping.end:
        argument = _ScanArgument(
            size=ctypes.sizeof(_ScanArgument),
            start=position,
            end=mapping.end,
            vec=ctypes.addressof(regions),
            vec_len=_MOST_REGIONS,
            category_mask=_PAGE_IS_PRESENT,
            return_mask=_PAGE_IS_PRESENT,
        )
        count = fcntl.ioctl(descriptor, _PAGEMAP_SCAN, argument)
        for region in regions[:count]:
            first = (region.start - mapping.start + mapping.offset) // PAGE_BYTES
            yield Run(first, (region.end - region.start) // PAGE_BYTES)
        position = argument.walk_end
