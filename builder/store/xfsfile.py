"""A file inside a store's file system as an image that can be read, and compared by where it lies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property

from builder.store.xfswalk import Inode, View, Xfs
from soulpad.base.extents import UNWRITTEN, Extent


class XfsFile:
    """A regular file; ``view`` gives the file system's bytes. What is read is at rest: nobody mounts it meanwhile."""

    def __init__(self, store: Xfs, view: View, inode: Inode) -> None:
        self.size_bytes = inode.size_bytes
        self.volume: object = view
        self._store, self._view, self._inode = store, view, inode

    @cached_property
    def _extents(self) -> list[Extent]:
        return [
            Extent(found.position, found.disk_position, found.count, UNWRITTEN if found.unwritten else 0)
            for found in self._store.extents(self._inode)
        ]

    @cached_property
    def _starts(self) -> list[int]:
        return [extent.logical_bytes for extent in self._extents]

    def extents(self) -> Sequence[Extent]:
        return self._extents

    def data_from(self, position: int) -> int:
        for extent in self._from(position):
            start, end = extent.span
            if end > position and not extent.flags & UNWRITTEN:
                return min(max(start, position), self.size_bytes)
        return self.size_bytes

    def read_at(self, position: int, count: int) -> bytes:
        """Raises StoreDamaged."""
        end = min(position + count, self.size_bytes)
        content = bytearray(max(0, end - position))
        for extent in self._from(position):
            start, stop = max(extent.span[0], position), min(extent.span[1], end)
            if extent.span[0] >= end:
                break
            if start < stop and not extent.flags & UNWRITTEN:
                place = extent.physical_bytes + start - extent.logical_bytes
                content[start - position : stop - position] = self._view.read(place, stop - start)
        return bytes(content)

    def _from(self, position: int) -> Iterator[Extent]:
        """The extents that may reach beyond ``position``."""
        for index in range(max(0, bisect_right(self._starts, position) - 1), len(self._extents)):
            yield self._extents[index]
