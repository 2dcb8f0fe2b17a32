"""Indexes: every chunk is found by reading little, and whatever is altered is noticed or does no harm."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.domain import ChunkId, DomainId
from lookaside.errors import DamagedIndex
from lookaside.framing import HEADER_BYTES, header
from lookaside.index import (
    BUCKET_RECORDS,
    FRONT_BYTES,
    MAGIC,
    RECORD_BYTES,
    Index,
    PackFile,
    Place,
    Read,
    encode_index,
    open_index,
    require_whole_index,
)
from lookaside.pack import HEAD_BYTES, Entry, PackName
from soulpad.base.errors import UnknownFormat


def entry(number: int, offset: int = 64) -> Entry:
    return Entry(ChunkId(sha256(b"%d" % number).digest()), 0, 100, offset + HEAD_BYTES, 150, bytes(32))


def pack_file(number: int) -> PackFile:
    return PackFile(PackName(sha256(b"pack %d" % number).hexdigest()), 1 << 24)


def reading(encoded: bytes, parts: list[tuple[int, int]] | None = None) -> Read:
    def read(offset: int, count: int) -> bytes:
        if parts is not None:
            parts.append((offset, count))
        return encoded[offset : offset + count]

    return read


def index_of(encoded: bytes) -> Index:
    return open_index(reading(encoded), len(encoded))


ENTRIES = [[entry(number, 64 + 300 * number) for number in range(first, 500, 2)] for first in range(2)]
ENCODED = encode_index((pack_file(number), entries) for number, entries in enumerate(ENTRIES))
SMALL = encode_index([(pack_file(0), [entry(0), entry(1, 310)])])


@pytest.mark.parametrize("count", [0, 1, 2, BUCKET_RECORDS * 5])
def test_every_chunk_is_found_where_its_pack_has_it(count: int) -> None:
    entries = [entry(number, 64 + 246 * number) for number in range(count)]
    index = index_of(encode_index([(pack_file(0), entries)]))
    assert [index.places(one.chunk_id) for one in entries] == [
        [Place(pack_file(0).name, 64 + 246 * number)] for number in range(count)
    ]
    assert index.places(entry(count).chunk_id) == []


def test_a_chunk_that_stands_twice_has_both_places() -> None:
    index = index_of(encode_index([(pack_file(0), [entry(7)]), (pack_file(1), [entry(7, 640)])]))
    assert sorted(index.places(entry(7).chunk_id)) == sorted(
        [Place(pack_file(0).name, 64), Place(pack_file(1).name, 640)]
    )


def test_a_chunk_is_found_by_reading_the_front_and_one_bucket() -> None:
    parts: list[tuple[int, int]] = []
    index = open_index(reading(ENCODED, parts), len(ENCODED))
    front = sum(count for _, count in parts)
    parts.clear()
    assert index.places(ENTRIES[0][0].chunk_id)
    assert [count < 4 * BUCKET_RECORDS * RECORD_BYTES for _, count in parts] == [True]
    assert front < len(ENCODED) // 10


@pytest.mark.parametrize("position", range(len(SMALL)))
def test_each_byte_that_is_altered_is_noticed_when_all_is_read(position: int) -> None:
    altered = bytearray(SMALL)
    altered[position] ^= 0x10
    with pytest.raises((DamagedIndex, UnknownFormat)):
        require_whole_index(reading(bytes(altered)), len(altered))


@pytest.mark.parametrize("length", range(len(SMALL)))
def test_one_that_is_cut_short_is_noticed_when_it_is_opened(length: int) -> None:
    with pytest.raises(DamagedIndex):
        index_of(SMALL[:length])


def test_the_front_of_another_index_is_noticed() -> None:
    other = encode_index([(pack_file(1), [entry(5), entry(6)])])
    require_whole_index(reading(other), len(other))
    with pytest.raises(DamagedIndex):
        require_whole_index(reading(other[: len(SMALL) // 2] + SMALL[len(SMALL) // 2 :]), len(SMALL))


def test_a_version_that_is_not_known_is_refused() -> None:
    newer = header(MAGIC, 2, DomainId(bytes(16))) + SMALL[HEADER_BYTES:]
    with pytest.raises(UnknownFormat, match=r"soulindx/2"):
        index_of(newer)


@given(st.binary(max_size=400), st.booleans(), st.integers(0, 1 << 20))
def test_garbage_is_an_index_or_none_and_nothing_else_happens(garbage: bytes, with_front: bool, size: int) -> None:
    encoded = SMALL[:FRONT_BYTES] + garbage if with_front else garbage
    try:
        index_of(encoded)
        open_index(reading(encoded), size)
    except (DamagedIndex, UnknownFormat):
        pass


@given(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES * 2), st.integers(0, 1))
def test_records_that_lie_lead_into_a_pack_or_are_refused(record: bytes, number: int) -> None:
    start = len(SMALL) - 32 - 2 * RECORD_BYTES
    at = start + number * RECORD_BYTES
    altered = SMALL[:at] + record[:RECORD_BYTES] + SMALL[at + RECORD_BYTES :]
    index = index_of(altered)
    for chunk_id in (entry(0).chunk_id, entry(1).chunk_id, ChunkId(record[:32])):
        try:
            places = index.places(chunk_id)
        except DamagedIndex:
            continue
        assert all(place.offset < pack_file(0).pack_bytes for place in places)
