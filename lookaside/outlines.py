"""Outlines: the page ids of chunks that a version brought, by which a part of a chunk is proved without the rest of it.

A later version that overwrites a part of a chunk goes on using the rest. A stick that has that later state has all the
bytes that are needed of the chunk, and not the chunk, so its id proves nothing. Page ids do: they are content of a
version, and as authentic as all of it.

    outlines = header | chunks u32 | zeros (12) | chunks | check (16), of all behind the header | page ids
    header     64 bytes, see framing; the magic is "SOULOUTL", the version 1
    chunk      id (32) | units u32
    page id    16 bytes, Domain.page_id; of all pages of the first chunk, then of the second ...

A page is a unit, 4096 bytes; the last one of a chunk may be shorter. Outlines are an image of the version that brought
the chunks, named "outlines-" and that version's number, and later versions have it too. They are a hint: without them
whole chunks are asked for. Numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from blake3 import blake3

from lookaside.domain import CHUNK_ID_BYTES, ChunkId, Domain
from lookaside.errors import CorruptChunk
from lookaside.extentmap import UNIT_BYTES
from lookaside.framing import CHECK_BYTES, HEADER_BYTES, NotWhole, checked, domain_in, header
from lookaside.pageids import pages_of
from lookaside.readable import Readable

MAGIC = b"SOULOUTL"
VERSION = 1
PREFIX = "outlines-"
PAGE_ID_BYTES = 16
MOST_CHUNKS = 1 << 22  # of 1 MiB: 4 TiB in a single version

_COUNT = struct.Struct("<I12x")
_CHUNK = struct.Struct(f"<{CHUNK_ID_BYTES}sI")
_START_BYTES = HEADER_BYTES + _COUNT.size
_AT_ONCE = 1 << 12  # chunks, 144 KiB


class Outline(NamedTuple):
    """Where a chunk's page ids stand in its outlines, and how many."""

    offset: int
    units: int

    @property
    def size_bytes(self) -> int:
        return self.units * PAGE_ID_BYTES


def image_name(number: int) -> str:
    """What the outlines are called that the version of that number brought."""
    return f"{PREFIX}{number}"


def number_in(name: str) -> int | None:
    """The number in the name of outlines; None: it is another image's."""
    digits = name.removeprefix(PREFIX)
    return int(digits) if digits != name and digits.isascii() and digits.isdecimal() and len(digits) < 11 else None


def is_outlines(name: str) -> bool:
    """Whether an image of that name is no file of the parcel's."""
    return number_in(name) is not None


def page_ids_of(domain: Domain, content: bytes) -> bytes:
    """The page ids of a chunk, one after another."""
    return b"".join(map(domain.page_id, pages_of(content)))


def encoded_head(domain: Domain, chunks: Collection[tuple[ChunkId, int]]) -> bytes:
    """What stands before the page ids of chunks, which have so many units each."""
    entries = b"".join(_CHUNK.pack(*chunk) for chunk in chunks)
    return header(MAGIC, VERSION, domain.public_id) + checked(_COUNT.pack(len(chunks)) + entries)


def read_head(domain: Domain, image: Readable, wanted: Container[ChunkId]) -> dict[ChunkId, Outline]:
    """Where an image has the outlines of those chunks; of no others, so that it takes little memory however many it
    says that there are. Raises CorruptChunk for what is none, UnknownFormat, and what the image raises."""
    start = image.read_at(0, _START_BYTES)
    try:
        domain_id = domain_in(start[:HEADER_BYTES], MAGIC, VERSION)
    except NotWhole:
        raise no_outlines() from None
    if domain_id != domain.public_id or len(start) != _START_BYTES:
        raise no_outlines()
    (count,) = _COUNT.unpack_from(start, HEADER_BYTES)
    check_offset = _START_BYTES + count * _CHUNK.size
    if count > MOST_CHUNKS or check_offset > image.size_bytes:
        raise no_outlines()
    found: dict[ChunkId, Outline] = {}
    digest = blake3(start[HEADER_BYTES:])
    offset = check_offset + CHECK_BYTES
    for entries in read_pieces(image, _START_BYTES, check_offset):
        digest.update(entries)
        for chunk_id, units in _CHUNK.iter_unpack(entries):
            if chunk_id in wanted:
                found[chunk_id] = Outline(offset, units)
            offset += units * PAGE_ID_BYTES
    if digest.digest(length=CHECK_BYTES) != image.read_at(check_offset, CHECK_BYTES) or offset != image.size_bytes:
        raise no_outlines()
    return found


def read_pieces(image: Readable, start: int, end: int) -> Iterator[bytes]:
    """What stands between two places of an image, entry by entry and many at once. Raises CorruptChunk where it is
    cut short."""
    for position in range(start, end, _AT_ONCE * _CHUNK.size):
        count = min(_AT_ONCE * _CHUNK.size, end - position)
        content = image.read_at(position, count)
        if len(content) != count:
            raise no_outlines()
        yield content


def read_page_ids(image: Readable, outline: Outline) -> list[bytes]:
    """The page ids of one chunk. Raises CorruptChunk where some are missing, and what the image raises."""
    content = image.read_at(outline.offset, outline.size_bytes)
    if len(content) != outline.size_bytes:
        raise no_outlines()
    return [content[start : start + PAGE_ID_BYTES] for start in range(0, len(content), PAGE_ID_BYTES)]


def proved(domain: Domain, page_ids: Sequence[bytes], first: int, content: bytes) -> Iterable[tuple[int, bytes]]:
    """Those pages of ``content`` that are the chunk's from unit ``first`` on, each with the number of its unit."""
    for unit, page in enumerate(pages_of(content[: (len(page_ids) - first) * UNIT_BYTES]), first):
        if domain.page_id(page) == page_ids[unit]:
            yield unit, bytes(page)


def no_outlines() -> CorruptChunk:
    return CorruptChunk("What should be outlines of chunks is none.", "whole chunks are asked for")
