"""Which libraries a program says it needs, read from the file itself: no program has to be run to know.

Source: System V ABI, gABI 4.1, "Program Header" and "Dynamic Section"; 64-bit little-endian files alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

_MAGIC = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29
_MOST_NAME_BYTES = 4096


@dataclass(frozen=True)
class Linkage:
    """File names of libraries, and folders of the file's own in which they are looked for first."""

    needed: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Segment:
    kind: int
    offset: int
    address: int
    length: int


def linkage_of(image: bytes | mmap) -> Linkage:
    """From the bytes of a program or library; empty for anything that is none, or is damaged."""
    if image[: len(_MAGIC)] != _MAGIC:
        return Linkage()
    try:
        segments = list(_segments(image))
        entries = [entry for segment in segments if segment.kind == _PT_DYNAMIC for entry in _entries(image, segment)]
        [names] = [_place(segments, value) for tag, value in entries if tag == _DT_STRTAB]
        needed = tuple(_text(image, names + value) for tag, value in entries if tag == _DT_NEEDED)
        paths = [_text(image, names + value) for tag, value in entries if tag in (_DT_RPATH, _DT_RUNPATH)]
    except (struct.error, ValueError, OverflowError):
        return Linkage()
    return Linkage(needed, tuple(folder for path in paths for folder in path.split(":") if folder.startswith("/")))


def _segments(image: bytes | mmap) -> Iterator[_Segment]:
    (table,) = struct.unpack_from("<Q", image, 32)
    entry_bytes, count = struct.unpack_from("<HH", image, 54)
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", image, table + index * entry_bytes)
        yield _Segment(kind, offset, address, length)


def _entries(image: bytes | mmap, segment: _Segment) -> Iterator[tuple[int, int]]:
    for position in range(segment.offset, segment.offset + segment.length, 16):
        tag, value = struct.unpack_from("<qQ", image, position)
        if tag == 0:
            return
        yield tag, value


def _place(segments: list[_Segment], address: int) -> int:
    """Where in the file the byte lies that is loaded to ``address``."""
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.length:
            return address - segment.address + segment.offset
    raise ValueError("no segment holds the address")


def _text(image: bytes | mmap, position: int) -> str:
    found = image[position : position + _MOST_NAME_BYTES]
    return found[: found.index(b"\0")].decode()
