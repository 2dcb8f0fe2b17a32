"""What a program links: of a file made here byte by byte, of this Python, and of anything else."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from soulpad.session.elf import Linkage, linkage_of

LOAD, DYNAMIC = 1, 2
BASE = 0x400000
NAMES = b"\0libfirst.so.1\0libsecond.so.2\0/opt/own:$ORIGIN/lib:/opt/other\0"
FIRST, SECOND, PATHS = NAMES.index(b"libfirst"), NAMES.index(b"libsecond"), NAMES.index(b"/opt")


def program(names: bytes = NAMES) -> bytes:
    """A header, two program headers, a dynamic section, and its names."""
    dynamic_at = 64 + 2 * 56
    entries = [(1, FIRST), (1, SECOND), (29, PATHS), (5, BASE + dynamic_at + 5 * 16), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    length = dynamic_at + len(dynamic) + len(names)
    sizes = (64, 56, 2, 0, 0, 0)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, *sizes)
    load = struct.pack("<IIQQQQQQ", LOAD, 5, 0, BASE, BASE, length, length, 4096)
    section = struct.pack("<IIQQQQQQ", DYNAMIC, 6, dynamic_at, BASE + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    return header + load + section + dynamic + names


def test_libraries_are_told_in_the_files_order_with_the_folders_that_are_its_own() -> None:
    assert linkage_of(program()) == Linkage(("libfirst.so.1", "libsecond.so.2"), ("/opt/own", "/opt/other"))


def test_the_program_that_runs_this_test_links_the_c_library() -> None:
    assert "libc.so.6" in linkage_of(Path(sys.executable).resolve().read_bytes()).needed


def test_what_is_no_program_links_nothing() -> None:
    for content in (b"", b"#!/bin/sh\n", b"\x7fELF", program()[:100], program().replace(b"\x02\x01", b"\x01\x01", 1)):
        assert linkage_of(content) == Linkage()


def test_names_without_an_end_link_nothing() -> None:
    assert linkage_of(program(NAMES.rstrip(b"\0"))) == Linkage()


@given(some.integers(0, len(program()) - 9), some.binary(min_size=1, max_size=8))
def test_a_damaged_program_is_no_error(position: int, damage: bytes) -> None:
    content = program()
    assert isinstance(linkage_of(content[:position] + damage + content[position + len(damage) :]), Linkage)
