"""Outlines: the page ids of chunks that a version brought, by which a part of a chunk is proved without the rest of it.

A later version that overwrites a part of a chunk goes on using the rest. A stick that has that later state has all the
bytes that are needed of the chunk, and not the chunk, so its id proves nothing. Page ids do: they are content of a
version, and as authentic as all of it.

    outlines = header | chunks u32 | zeros (12) | chunks | page ids
    header     64 bytes, see framing; the magic is "SOULOUTL", the version 1
    chunk      id (32) | units u32
    page id    16 bytes, Domain.page_id; of all pages of the first chunk, then of the second ...

A page is a unit, 4096 bytes; the last one of a chunk may be shorter. Outlines are an image of the version that brought
the chunks, named "outlines-" and that version's number, and later versions have it too. They are a hint: without them
whole chunks are asked for. Numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from lookaside.domain import CHUNK_ID_BYTES, ChunkId, Domain
from lookaside.errors import CorruptChunk
from lookaside.extentmap import UNIT_BYTES
from lookaside.framing import HEADER_BYTES, NotWhole, domain_in, header
from lookaside.pageids import pages_of
from lookaside.readable import Readable

MAGIC = b"SOULOUTL"
VERSION = 1
PREFIX = "outlines-"
PAGE_ID_BYTES = 16
MOST_CHUNKS = 1 << 22  # of 1 MiB: 4 TiB in a single version
LARGEST_UNITS = 1 << 16  # of a chunk, far more than chunks have

_COUNT = struct.Struct("<I12x")
_CHUNK = struct.Struct(f"<{CHUNK_ID_BYTES}sI")
_HEAD_BYTES = HEADER_BYTES + _COUNT.size
_AT_ONCE = 1 << 12  # chunks, 144 KiB


class Outline(NamedTuple):
    """Where a chunk's page ids stand in its outlines, and how many."""

    offset: int
    units: int


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
    start = header(MAGIC, VERSION, domain.public_id) + _COUNT.pack(len(chunks))
    return start + b"".join(_CHUNK.pack(*chunk) for chunk in chunks)


def read_head(domain: Domain, image: Readable) -> Iterator[tuple[ChunkId, Outline]]:
    """The chunks of which an image has outlines, and where those stand. Takes little memory, however many the image
    says that there are. Raises CorruptChunk for what is none, UnknownFormat, and what the image raises."""
    start = image.read_at(0, _HEAD_BYTES)
    try:
        domain_id = domain_in(start[:HEADER_BYTES], MAGIC, VERSION)
    except NotWhole:
        raise no_outlines() from None
    if domain_id != domain.public_id or len(start) != _HEAD_BYTES:
        raise no_outlines()
    (count,) = _COUNT.unpack_from(start, HEADER_BYTES)
    offset = _HEAD_BYTES + count * _CHUNK.size
    if count > MOST_CHUNKS or offset > image.size_bytes:
        raise no_outlines()
    for chunk_id, units in read_chunks(image, count):
        outline = Outline(offset, units)
        offset += units * PAGE_ID_BYTES
        if not 0 < units <= LARGEST_UNITS or offset > image.size_bytes:
            raise no_outlines()
        yield chunk_id, outline


def read_chunks(image: Readable, count: int) -> Iterator[tuple[ChunkId, int]]:
    """The ids and units of so many chunks. Raises CorruptChunk where there are fewer."""
    for first in range(0, count, _AT_ONCE):
        some = min(_AT_ONCE, count - first) * _CHUNK.size
        content = image.read_at(_HEAD_BYTES + first * _CHUNK.size, some)
        if len(content) != some:
            raise no_outlines()
        yield from _CHUNK.iter_unpack(content)


def read_page_ids(image: Readable, outline: Outline) -> list[bytes]:
    """The page ids of one chunk. Raises CorruptChunk where some are missing, and what the image raises."""
    size = outline.units * PAGE_ID_BYTES
    content = image.read_at(outline.offset, size)
    if len(content) != size:
        raise no_outlines()
    return [content[start : start + PAGE_ID_BYTES] for start in range(0, size, PAGE_ID_BYTES)]


def proved(domain: Domain, page_ids: Sequence[bytes], first: int, content: bytes) -> Iterable[tuple[int, bytes]]:
    """Those pages of ``content`` that are the chunk's from unit ``first`` on, each with the number of its unit."""
    for unit, page in enumerate(pages_of(content[: (len(page_ids) - first) * UNIT_BYTES]), first):
        if domain.page_id(page) == page_ids[unit]:
            yield unit, bytes(page)


def no_outlines() -> CorruptChunk:
    return CorruptChunk("What should be outlines of chunks is none.", "whole chunks are asked for")
