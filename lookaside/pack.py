"""Packs: files of sealed chunks that describe and verify themselves, without keys. Numbers are little-endian.

    pack    = header | entry ... | table | footer
    header  64 bytes   see framing; the magic is "SOULPACK", the version 1
    entry              head | body (see sealing)
    head    96 bytes   "CHNK" | encoding u8 | zeros (3) | content bytes u32 | body bytes u32 | chunk id (32)
                       | BLAKE3 of the body (32) | check (16)
    table              the head of each entry again, in order
    footer  64 bytes   "SOULPEND" | entries u32 | zeros (4) | bytes before the table u64 | zeros (24) | check (16)

A head's check is of the head; the footer's is of the table and of the footer before it. A pack's name is the BLAKE3 of
all its bytes, in hex: it never changes once it has its name. Entries can be found without the table, by their heads, so
that what is whole in a damaged pack can be saved.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NewType

from blake3 import blake3

from lookaside.domain import ChunkId, Domain, DomainId
from lookaside.errors import CorruptChunk, DamagedPack
from lookaside.framing import (
    CHECK_BYTES,
    HEADER_BYTES,
    NotWhole,
    check_of,
    checked,
    domain_in,
    header,
    require_checked,
)
from lookaside.sealing import OVERHEAD_BYTES, Sealed, seal, unseal

PackName = NewType("PackName", str)  # 64 hex digits

MAGIC = b"SOULPACK"
VERSION = 1
LARGEST_CONTENT_BYTES = 8 << 20
LARGEST_BODY_BYTES = LARGEST_CONTENT_BYTES + (1 << 20)
PURPOSE = b"soulpad chunk 1"

_HEAD = struct.Struct("<4sB3xII32s32s")
_FOOTER = struct.Struct("<8sI4xQ24x")
_MARK = b"CHNK"
_SEARCH_BYTES = 1 << 20
HEAD_BYTES = _HEAD.size + CHECK_BYTES
FOOTER_BYTES = _FOOTER.size + CHECK_BYTES


@dataclass(frozen=True)
class Entry:
    """A chunk in a pack. ``body_offset``: bytes from the start of the pack."""

    chunk_id: ChunkId
    encoding: int
    content_bytes: int
    body_offset: int
    body_bytes: int
    body_digest: bytes

    def head(self) -> bytes:
        """Its 96 bytes, before the body and in the table."""
        fields = (_MARK, self.encoding, self.content_bytes, self.body_bytes, self.chunk_id, self.body_digest)
        return checked(_HEAD.pack(*fields))


def seal_chunk(domain: Domain, chunk_id: ChunkId, content: bytes | memoryview) -> Sealed:
    """The body of a chunk, which only its id's place can hold."""
    return seal(domain.body_key, content, PURPOSE + chunk_id)


def open_chunk(domain: Domain, entry: Entry, body: bytes) -> bytes:
    """The content of an entry, proved to be what its id names. Raises CorruptChunk."""
    content = unseal(domain.body_key, Sealed(entry.encoding, body), PURPOSE + entry.chunk_id, entry.content_bytes)
    if domain.chunk_id(content) != entry.chunk_id:
        raise CorruptChunk("A chunk is damaged: it is another one's content.", "another source is asked for it")
    return content


class PackWriter:
    """Writes a pack to ``file``, from its current end. What is written is a pack only after ``finish``."""

    def __init__(self, file: BinaryIO, domain_id: DomainId) -> None:
        self._file = file
        self._digest = blake3()
        self._bytes = 0
        self._entries: list[Entry] = []
        self._write(header(MAGIC, VERSION, domain_id))

    @property
    def bytes_written(self) -> int:
        return self._bytes

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    def add(self, chunk_id: ChunkId, content_bytes: int, sealed: Sealed) -> Entry:
        """Appends a sealed chunk."""
        offset = self._bytes + HEAD_BYTES
        digest = blake3(sealed.body).digest()
        entry = Entry(chunk_id, sealed.encoding, content_bytes, offset, len(sealed.body), digest)
        self._write(entry.head())
        self._write(sealed.body)
        self._entries.append(entry)
        return entry

    def finish(self) -> PackName:
        """Appends table and footer; returns the name that the file is to have. Making it durable is the caller's."""
        start, table = self._bytes, b"".join(entry.head() for entry in self._entries)
        self._write(table)
        footer = _FOOTER.pack(b"SOULPEND", len(self._entries), start)
        self._write(footer + check_of(table + footer))
        return PackName(self._digest.hexdigest())

    def _write(self, part: bytes) -> None:
        self._file.write(part)
        self._digest.update(part)
        self._bytes += len(part)


def name_of(parts: Iterable[bytes]) -> PackName:
    """The name that a pack of these bytes must have."""
    digest = blake3()
    for part in parts:
        digest.update(part)
    return PackName(digest.hexdigest())


def domain_of(pack: BinaryIO) -> DomainId:
    """The domain that a pack names. Raises DamagedPack, UnknownFormat."""
    try:
        return domain_in(read_at(pack, 0, HEADER_BYTES), MAGIC, VERSION)
    except NotWhole:
        raise damaged("header") from None


def table_span(footer: bytes, pack_bytes: int) -> tuple[int, int]:
    """Offset and length of the table, by a pack's last 64 bytes. Raises DamagedPack."""
    if len(footer) != FOOTER_BYTES:
        raise damaged("footer")
    magic, count, start = _FOOTER.unpack(footer[: _FOOTER.size])
    if magic != b"SOULPEND" or start + count * HEAD_BYTES + FOOTER_BYTES != pack_bytes or start < HEADER_BYTES:
        raise damaged("footer")
    return start, count * HEAD_BYTES


def entries_of_table(table: bytes, footer: bytes) -> list[Entry]:
    """The entries that a pack's table lists. Raises DamagedPack where table or footer are altered."""
    if check_of(table + footer[: _FOOTER.size]) != footer[_FOOTER.size :]:
        raise damaged("table")
    entries, offset = [], HEADER_BYTES
    for start in range(0, len(table), HEAD_BYTES):
        entry = entry_of_head(table[start : start + HEAD_BYTES], offset)
        entries.append(entry)
        offset = entry.body_offset + entry.body_bytes
    return entries


def entry_of_head(head: bytes, offset: int) -> Entry:
    """The entry whose head stands at ``offset``. Raises DamagedPack."""
    try:
        fields = _HEAD.unpack(require_checked(head, HEAD_BYTES))
    except NotWhole:
        raise damaged("chunk's head") from None
    magic, encoding, content_bytes, body_bytes, chunk_id, digest = fields
    sane = 1 <= content_bytes <= LARGEST_CONTENT_BYTES and OVERHEAD_BYTES <= body_bytes <= LARGEST_BODY_BYTES
    if magic != _MARK or not sane:
        raise damaged("chunk's head")
    return Entry(ChunkId(chunk_id), encoding, content_bytes, offset + HEAD_BYTES, body_bytes, digest)


def read_entries(pack: BinaryIO, pack_bytes: int) -> list[Entry]:
    """The entries of a pack, by its table. Raises DamagedPack, UnknownFormat."""
    domain_of(pack)
    footer = read_at(pack, max(0, pack_bytes - FOOTER_BYTES), FOOTER_BYTES)
    start, length = table_span(footer, pack_bytes)
    entries = entries_of_table(read_at(pack, start, length), footer)
    if (entries[-1].body_offset + entries[-1].body_bytes if entries else HEADER_BYTES) != start:
        raise damaged("table")
    return entries


def salvage_entries(pack: BinaryIO) -> Iterator[tuple[Entry, bytes]]:
    """The whole entries of a damaged pack and their bodies, by looking for heads; no other part need be whole."""
    offset = 0
    while (found := next_head(pack, offset)) is not None:
        try:
            entry = entry_of_head(read_at(pack, found, HEAD_BYTES), found)
            body = require_body(entry, read_at(pack, entry.body_offset, entry.body_bytes))
        except (DamagedPack, CorruptChunk):
            offset = found + 1
            continue
        yield entry, body
        offset = entry.body_offset + entry.body_bytes


def next_head(pack: BinaryIO, offset: int) -> int | None:
    """Where, from ``offset`` on, the mark of a head stands next; None: nowhere."""
    while piece := read_at(pack, offset, _SEARCH_BYTES):
        if (found := piece.find(_MARK)) >= 0:
            return offset + found
        if len(piece) < _SEARCH_BYTES:
            return None
        offset += len(piece) - len(_MARK) + 1
    return None


def require_body(entry: Entry, body: bytes) -> bytes:
    """The body, if it is the entry's: who has no key can tell so much. Raises CorruptChunk."""
    if len(body) != entry.body_bytes or blake3(body).digest() != entry.body_digest:
        raise CorruptChunk("A chunk is damaged: its bytes were altered.", "another source is asked for it")
    return body


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``; fewer where the file ends."""
    file.seek(offset)
    return file.read(count)


def damaged(what: str) -> DamagedPack:
    """The error for a pack whose ``what`` is not whole."""
    return DamagedPack(f"A pack is damaged: its {what} is altered or cut short.", "soulpad recover saves what is whole")
