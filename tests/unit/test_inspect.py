"""The structures that inspecting reads: well-made ones, and damaged ones, which must never hang or crash."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.inspect import squashfs_bytes
from builder.store.xfswalk import Xfs, block_entries, local_entries, parse_inode
from soulpad.base.errors import StoreDamaged, UnknownFormat
from soulpad.base.units import MIB


class Bytes:
    """A file system in memory; what lies outside of it is refused as the real view does."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        if offset_bytes + length_bytes > len(self._content):
            raise StoreDamaged("outside")
        return self._content[offset_bytes : offset_bytes + length_bytes]


def entry(inode: int, name: bytes) -> bytes:
    raw = struct.pack(">QB", inode, len(name)) + name + b"\x01"
    return raw.ljust((len(raw) + 2 + 7) // 8 * 8, b"\0")


def test_the_size_of_a_host_is_in_its_superblock() -> None:
    assert squashfs_bytes(b"hsqs".ljust(40, b"\0") + (271 * MIB).to_bytes(8, "little")) == 271 * MIB
    assert squashfs_bytes(bytes(96)) == 0


def test_a_folder_in_its_inode_is_read_with_narrow_and_wide_inode_numbers() -> None:
    narrow = (
        b"\x02\x00" + bytes(4) + b"\x01\0\0a\x01" + struct.pack(">I", 131) + b"\x02\0\0bc\x02" + struct.pack(">I", 132)
    )
    assert list(local_entries(narrow)) == [("a", 131), ("bc", 132)]
    wide = b"\x01\x01" + bytes(8) + b"\x01\0\0a\x01" + struct.pack(">Q", 1 << 40)
    assert list(local_entries(wide)) == [("a", 1 << 40)]


def test_a_folder_in_blocks_is_read_over_unused_space() -> None:
    unused = b"\xff\xff" + struct.pack(">H", 24) + bytes(20)
    block = b"XDD3".ljust(64, b"\0") + entry(128, b".") + entry(128, b"..") + unused + entry(131, b"parcel.json")
    rest = 4096 - len(block)
    block += b"\xff\xff" + struct.pack(">H", rest) + bytes(rest - 4)
    assert list(block_entries(block)) == [("parcel.json", 131)]


@given(st.binary(max_size=200), st.sampled_from([b"XDD3", b"XDB3", b""]))
def test_a_damaged_folder_block_ends_in_entries_or_in_an_error(content: bytes, magic: bytes) -> None:
    with suppress(StoreDamaged):
        list(block_entries(magic.ljust(64, b"\0") + content + bytes(8)))


@given(st.binary(max_size=200))
def test_a_damaged_folder_inode_ends_in_entries_or_in_an_error(content: bytes) -> None:
    with suppress(StoreDamaged):
        list(local_entries(content or b"\0"))


def test_an_unused_entry_without_length_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(StoreDamaged):
        list(block_entries(b"XDD3".ljust(64, b"\0") + b"\xff\xff\0\0" + bytes(60)))


def test_what_is_no_inode_is_refused() -> None:
    with pytest.raises(StoreDamaged, match="inode"):
        parse_inode(bytes(512), 4096)


def test_what_is_no_xfs_or_an_old_one_is_refused() -> None:
    with pytest.raises(StoreDamaged, match="no XFS"):
        Xfs(Bytes(bytes(4096)))
    with pytest.raises(UnknownFormat):
        Xfs(Bytes(b"XFSB".ljust(4096, b"\0")))


@given(st.binary(min_size=96, max_size=96), st.binary(min_size=92, max_size=92))
def test_a_damaged_superblock_is_refused_or_leads_nowhere(start: bytes, rest: bytes) -> None:
    block = bytearray(b"XFSB" + start + b"\x00\x05" + rest)
    block = block.ljust(4096, b"\0")
    block[216:220] = b"\0\0\0\x01"
    with pytest.raises(StoreDamaged):
        Xfs(Bytes(bytes(block))).children(PurePosixPath("parcels"))
