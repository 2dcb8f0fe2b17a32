"""The extents of an XFS file that has too many for its inode: the leaves of a B-tree, in order.

All numbers are big-endian. Source: "XFS Algorithms & Data Structures", 3rd edition, and fs/xfs/libxfs/xfs_format.h
(xfs_bmdr_block, xfs_btree_lblock).

    Root in the inode: 0 level (2); 2 count (2); 4 keys of 8 bytes, room for (bytes of the fork - 4) / 16 of them;
                       behind that room the numbers of the blocks below (8 each)
    Block:             0 "BMA3"; 4 level (2); 6 count (2); 72 in a leaf records of 16 bytes; above it keys of 8 bytes,
                       room for (bytes of the block - 72) / 16, and behind that room the numbers of the blocks below
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soulpad.base.errors import StoreDamaged

ReadBlock = Callable[[int], bytes]

RECORD_BYTES = 16
_HEAD_BYTES = 72
_ROOT_HEAD_BYTES = 4
_MOST_LEVELS = 9  # XFS_BTREE_MAXLEVELS; a tree of 4 KiB blocks with 2**47 extents has 7


def leaf_records(fork: bytes, read_block: ReadBlock) -> Iterator[bytes]:
    """The extent records of a fork that is a tree's root, 16 bytes each. ``read_block`` reads a block of the file
    system by its number, each once. Raises StoreDamaged."""
    level, count = _number(fork, 0, 2), _number(fork, 2, 2)
    if not 1 <= level <= _MOST_LEVELS:
        raise _damaged()
    seen: set[int] = set()
    for number in _numbers(fork, _ROOT_HEAD_BYTES, count):
        yield from _below(number, level - 1, read_block, seen)


def _below(number: int, level: int, read_block: ReadBlock, seen: set[int]) -> Iterator[bytes]:
    if number in seen:  # a damaged tree may lead round and round
        raise _damaged()
    seen.add(number)
    block = read_block(number)
    count = _number(block, 6, 2)
    if not block.startswith(b"BMA3") or _number(block, 4, 2) != level:
        raise _damaged()
    if level:
        for below in _numbers(block, _HEAD_BYTES, count):
            yield from _below(below, level - 1, read_block, seen)
        return
    if _HEAD_BYTES + count * RECORD_BYTES > len(block):
        raise _damaged()
    for index in range(count):
        at = _HEAD_BYTES + index * RECORD_BYTES
        yield block[at : at + RECORD_BYTES]


def _numbers(node: bytes, head_bytes: int, count: int) -> Iterator[int]:
    """The blocks below a node."""
    room = (len(node) - head_bytes) // 16
    if count > room:
        raise _damaged()
    for index in range(count):
        yield _number(node, head_bytes + room * 8 + index * 8, 8)


def _number(content: bytes, at: int, count: int) -> int:
    if at + count > len(content):
        raise _damaged()
    return int.from_bytes(content[at : at + count], "big")


def _damaged() -> StoreDamaged:
    return StoreDamaged("the list of a file's blocks in the store is damaged", "restore the store from a backup")
