"""Walks the folders of an XFS and reads its small files, through a view that gives bytes at offsets.

Only what lies on the way is read, which is what makes inspecting a stick of any size quick. Read-only, and of XFS
version 5 only that which a store needs: folders and files. The log is not replayed: after a power cut the newest
changes may be missing here, until the store has been mounted once.

All numbers are big-endian. Source: "XFS Algorithms & Data Structures", 3rd edition, and fs/xfs/libxfs/xfs_format.h,
xfs_da_format.h.

    Superblock: 0 "XFSB"; 4 block bytes; 56 root inode (8); 84 blocks of a group; 100 version, low 4 bits;
                104 inode bytes (2); 122 log2 of inode bytes, 123 of inodes per block, 124 of group blocks (1 each);
                192 log2 of blocks of a folder block (1); 216 incompatible features: bit 0 is the kind in each entry
    Inode:      0 "IN"; 2 mode (2); 4 version 3; 5 fork format: 1 local, 2 extents; 56 size; 64 blocks; 24 (8 bytes)
                or 76 (4) count of extents, as bit 4 of 120 (8) says; 82 offset of the attribute fork / 8; 176 fork
    Extent:     128 bits: 1 unwritten, 54 file block, 52 disk block (group, block in it), 21 count of blocks
    Folder in the inode: count (1), count of 8-byte inodes (1), parent; entries: name bytes (1), 2, name, kind (1),
                inode
    Folder in blocks: "XDB3" (one block, its index at its end) or "XDD3", 64 bytes; entries of multiples of 8 bytes:
                inode (8), name bytes (1), name, kind (1), padding, 2; unused: 0xffff, length (2)
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from builder.store import xfslog
from builder.store.xfsbtree import RECORD_BYTES, leaf_records
from soulpad.base.errors import StoreDamaged, UnknownFormat
from soulpad.base.units import MIB, round_up

LARGEST_READ_BYTES = 16 * MIB

_INODE_CORE_BYTES = 176
_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_MANY_EXTENTS = 1 << 4  # of an inode's flags2: the count of extents has 64 bits
_KIND_IN_ENTRY = 1
_FOLDER_INDEX_OFFSET = 1 << 35  # blocks of a folder from here on are its index, not its entries


class View(Protocol):
    """Bytes at offsets of the file system."""

    def read(self, offset_bytes: int, length_bytes: int) -> bytes: ...


@dataclass(frozen=True)
class Inode:
    """``allocated_bytes``: what it takes on the disk, blocks shared with other files included."""

    mode: int
    size_bytes: int
    allocated_bytes: int
    fork_format: int
    extent_count: int
    fork: bytes

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True)
class Extent:
    """Blocks of a file, in bytes. ``unwritten`` reads as zeros."""

    position: int
    disk_position: int
    count: int
    unwritten: bool


class Xfs:
    """An XFS behind a view. Every method raises StoreDamaged where the structures make no sense."""

    def __init__(self, view: View) -> None:
        self._view = view
        block = view.read(0, 512)
        if not block.startswith(b"XFSB"):
            raise StoreDamaged("the store holds no XFS file system", _RESTORE)
        if block[101] & 0xF != 5 or not _number(block, 216, 4) & _KIND_IN_ENTRY:
            raise UnknownFormat("the store's file system is an XFS of an older version", "use the program that made it")
        self._block_bytes = _number(block, 4, 4)
        self._root = _number(block, 56, 8)
        self._group_blocks = _number(block, 84, 4)
        self._log = _number(block, 48, 8), _number(block, 96, 4)
        self._inode_bytes = _number(block, 104, 2)
        self._inodes_per_block_log2, self._group_log2 = block[123], block[124]
        self._folder_block_bytes = self._block_bytes << block[192]
        _require_geometry(self._block_bytes, self._inode_bytes, self._folder_block_bytes)

    def children(self, path: PurePosixPath) -> dict[str, Inode]:
        """What a folder holds, by name; empty when there is no such folder."""
        inode = self.find(path)
        if inode is None or not inode.is_folder:
            return {}
        return {name: self._inode(number) for name, number in sorted(self._entries(inode))}

    def find(self, path: PurePosixPath) -> Inode | None:
        """The file or folder at a relative path, or None."""
        inode = self._inode(self._root)
        for name in path.parts:
            number = dict(self._entries(inode)).get(name) if inode.is_folder else None
            if number is None:
                return None
            inode = self._inode(number)
        return inode

    def read_file(self, path: PurePosixPath) -> bytes | None:
        """The contents of a small file, or None when there is none."""
        inode = self.find(path)
        if inode is None or not inode.is_file:
            return None
        if inode.size_bytes > LARGEST_READ_BYTES:
            raise StoreDamaged(f"{path} in the store is larger than it can be", _RESTORE)
        return self._contents(inode)[: inode.size_bytes]

    def _inode(self, number: int) -> Inode:
        group = number >> (self._group_log2 + self._inodes_per_block_log2)
        block = number >> self._inodes_per_block_log2 & ((1 << self._group_log2) - 1)
        index = number & ((1 << self._inodes_per_block_log2) - 1)
        offset = (group * self._group_blocks + block) * self._block_bytes + index * self._inode_bytes
        return parse_inode(self._view.read(offset, self._inode_bytes), self._block_bytes)

    def _entries(self, folder: Inode) -> Iterator[tuple[str, int]]:
        if folder.fork_format == _LOCAL:
            yield from local_entries(folder.fork)
            return
        if folder.size_bytes > LARGEST_READ_BYTES:
            raise StoreDamaged("a folder of the store is larger than it can be", _RESTORE)
        for extent in self.extents(folder):
            for at in range(0, extent.count, self._folder_block_bytes):
                if extent.position < _FOLDER_INDEX_OFFSET:
                    yield from block_entries(self._view.read(extent.disk_position + at, self._folder_block_bytes))

    def _contents(self, file: Inode) -> bytes:
        content = bytearray(round_up(file.size_bytes, self._block_bytes))
        for extent in self.extents(file):
            if not extent.unwritten and extent.position < len(content):
                count = min(extent.count, len(content) - extent.position)
                content[extent.position : extent.position + count] = self._view.read(extent.disk_position, count)
        return bytes(content)

    def extents(self, inode: Inode) -> Iterator[Extent]:
        """Where a file's or a folder's bytes lie, in order, without its holes."""
        for record in self._records(inode):
            number = int.from_bytes(record, "big")
            yield Extent(
                position=(number >> 73 & ((1 << 54) - 1)) * self._block_bytes,
                disk_position=self._position(number >> 21 & ((1 << 52) - 1)),
                count=(number & ((1 << 21) - 1)) * self._block_bytes,
                unwritten=bool(number >> 127),
            )

    def was_unmounted(self) -> bool:
        """Whether nothing is missing here that only the log knows. Reads the log, 64 MiB and more."""
        block, blocks = self._log
        start = self._position(block)
        return xfslog.was_unmounted(lambda at, count: self._view.read(start + at, count), blocks * self._block_bytes)

    def _records(self, inode: Inode) -> Iterator[bytes]:
        if inode.fork_format == _BTREE:
            return leaf_records(inode.fork, lambda block: self._view.read(self._position(block), self._block_bytes))
        if inode.fork_format != _EXTENTS or inode.extent_count * RECORD_BYTES > len(inode.fork):
            raise StoreDamaged("an inode of the store is damaged", _RESTORE)
        starts = range(0, inode.extent_count * RECORD_BYTES, RECORD_BYTES)
        return (inode.fork[at : at + RECORD_BYTES] for at in starts)

    def _position(self, block: int) -> int:
        """Where a block lies, by its number: a group, and a block in it."""
        group, within = block >> self._group_log2, block & ((1 << self._group_log2) - 1)
        return (group * self._group_blocks + within) * self._block_bytes


def parse_inode(content: bytes, block_bytes: int) -> Inode:
    """An inode from its bytes; raises StoreDamaged."""
    if not content.startswith(b"IN") or content[4] != 3:
        raise StoreDamaged("an inode of the store is damaged", _RESTORE)
    many = _number(content, 120, 8) & _MANY_EXTENTS
    fork_end = _INODE_CORE_BYTES + content[82] * 8 if content[82] else len(content)
    return Inode(
        mode=_number(content, 2, 2),
        size_bytes=_number(content, 56, 8),
        allocated_bytes=_number(content, 64, 8) * block_bytes,
        fork_format=content[5],
        extent_count=_number(content, 24, 8) if many else _number(content, 76, 4),
        fork=content[_INODE_CORE_BYTES:fork_end],
    )


def local_entries(fork: bytes) -> Iterator[tuple[str, int]]:
    """Names and inodes of a folder that lies in its inode."""
    inode_bytes = 8 if _number(fork, 1, 1) else 4
    at = 2 + inode_bytes
    for _ in range(fork[0]):
        name_bytes = _number(fork, at, 1)
        name = fork[at + 3 : at + 3 + name_bytes]
        at += 3 + name_bytes + 1
        yield _name(name), _number(fork, at, inode_bytes)
        at += inode_bytes


def block_entries(block: bytes) -> Iterator[tuple[str, int]]:
    """Names and inodes in one block of a folder, without those of the folder itself and its parent."""
    end = len(block)
    if block.startswith(b"XDB3"):
        end -= 8 + 8 * _number(block, len(block) - 8, 4)
    elif not block.startswith(b"XDD3"):
        raise StoreDamaged("a folder of the store is damaged", _RESTORE)
    at = 64
    while at < end:
        if block[at : at + 2] == b"\xff\xff":
            length = _number(block, at + 2, 2)
        else:
            name_bytes = _number(block, at + 8, 1)
            name = _name(block[at + 9 : at + 9 + name_bytes])
            if name not in (".", ".."):
                yield name, _number(block, at, 8)
            length = round_up(12 + name_bytes, 8)
        if not length:
            raise StoreDamaged("a folder of the store is damaged", _RESTORE)
        at += length


def _require_geometry(block_bytes: int, inode_bytes: int, folder_block_bytes: int) -> None:
    """Within what mkfs.xfs(8) makes; anything else would send the reader anywhere."""
    if not (
        512 <= block_bytes <= 65536 and 256 <= inode_bytes <= min(2048, block_bytes) and folder_block_bytes <= 65536
    ):
        raise StoreDamaged("the superblock of the store is damaged", _RESTORE)


_RESTORE = "restore the store from a backup"


def _number(content: bytes, at: int, count: int) -> int:
    if at + count > len(content):
        raise StoreDamaged("a structure of the store is cut off", _RESTORE)
    return int.from_bytes(content[at : at + count], "big")


def _name(content: bytes) -> str:
    return content.decode(errors="surrogateescape")
