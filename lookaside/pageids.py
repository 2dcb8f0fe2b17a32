"""Which pages an image has, told by short ids kept in a file: memory's pages are looked up in it, and no disk is read.

    page ids  = header | id of page 0 | id of page 1 | ...
    header    64 bytes, see framing; the magic is "SOULPAGE", the version 1
    id        the first 8 bytes of the page's id (Domain.page_id); zeros: a page of zeros, or one that is not known

A page is 4096 bytes, as guests' are. The file is 1/512 of the image, and in the image's order: to keep it up, the ids
of what changed are written. It is local and a hint. Whoever finds something by it looks at the page itself, so it may
be stale, torn or of another image: that costs room in the repository, nothing else, and so nothing of it is made
durable. A file that is none, or of another key, begins anew.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lookaside.domain import Domain
from lookaside.extentmap import UNIT_BYTES, units_of
from lookaside.framing import HEADER_BYTES, NotWhole, domain_in, header
from soulpad.base.errors import UnknownFormat

MAGIC = b"SOULPAGE"
VERSION = 1
ID_BYTES = 8
NOT_KNOWN = 0
_AT_ONCE = 1 << 16  # ids, of 256 MiB of an image
_ZERO_PAGE = bytes(UNIT_BYTES)


@dataclass(frozen=True)
class PageIds:
    """The short ids of an image's ``pages``, in an open file. All raise OSError."""

    descriptor: int
    pages: int

    def read(self, first: int, count: int) -> array[int]:
        """The ids of ``count`` pages from ``first`` on; fewer at the end of the image."""
        count = max(0, min(count, self.pages - first))
        found = array("Q")
        found.frombytes(os.pread(self.descriptor, count * ID_BYTES, place_of(first)))
        return found

    def write(self, first: int, ids: array[int]) -> None:
        """Puts ids in the place of those from ``first`` on; where there is no room, those stay: it is but a hint."""
        write_where_there_is_room(self.descriptor, ids, place_of(first))

    def find(self, wanted: Collection[int]) -> Iterator[tuple[int, int]]:
        """Ids out of ``wanted``, each with a page that is said to have it, in the image's order; one id may come often.
        Takes about a second for 64 GiB of an image."""
        some = frozenset(wanted)
        for first in range(0, self.pages, _AT_ONCE):
            ids = self.read(first, _AT_ONCE)
            if not some.isdisjoint(ids):
                yield from ((short, number) for number, short in enumerate(ids, first) if short in some)


@contextmanager
def page_ids(path: Path, domain: Domain, image_bytes: int) -> Iterator[tuple[PageIds, bool]]:
    """The ids in ``path`` of an image of so many bytes, and whether there were any. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        there = is_ours(os.pread(descriptor, HEADER_BYTES, 0), domain)
        if not there:
            os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, place_of(units_of(image_bytes)))
        yield PageIds(descriptor, units_of(image_bytes)), there
        start = header(MAGIC, VERSION, domain.public_id)
        write_where_there_is_room(descriptor, start, 0)  # broken off before, it begins anew
    finally:
        os.close(descriptor)


def write_where_there_is_room(descriptor: int, content: bytes | array[int], offset: int) -> None:
    """Raises OSError for any other reason than a full disk."""
    try:
        os.pwrite(descriptor, content, offset)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def is_ours(part: bytes, domain: Domain) -> bool:
    """Whether a file that begins so has ids of this domain."""
    try:
        return domain_in(part, MAGIC, VERSION) == domain.public_id
    except (NotWhole, UnknownFormat):
        return False


def place_of(page: int) -> int:
    """Where a page's id stands in the file."""
    return HEADER_BYTES + page * ID_BYTES


def ids_of(domain: Domain, content: bytes) -> array[int]:
    """The short ids of the pages of ``content``."""
    return array("Q", (short_id(domain, page) for page in pages_of(content)))


def short_id(domain: Domain, page: memoryview) -> int:
    """A page's short id."""
    return NOT_KNOWN if is_zeros(page) else shortened(domain.page_id(page))


def is_zeros(page: memoryview) -> bool:
    """Whether a page, which may be a shorter one, has no byte that is set."""
    return page == _ZERO_PAGE[: len(page)]


def shortened(page_id: bytes) -> int:
    return int.from_bytes(page_id[:ID_BYTES], "little")


def pages_of(content: bytes) -> Iterator[memoryview]:
    """The pages, of which the last may be shorter."""
    view = memoryview(content)
    return (view[start : start + UNIT_BYTES] for start in range(0, len(view), UNIT_BYTES))
