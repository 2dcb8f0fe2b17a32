"""Reading ahead: many chunks by one request, bounded memory, and the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.came import Came
from lookaside.cutting import CHUNK_BYTES
from lookaside.domain import ChunkId
from lookaside.errors import ChunkMissing
from lookaside.readahead import AHEAD_BYTES, KEPT_BYTES, ReadAhead
from lookaside.source import Given, Tally

CHUNK = CHUNK_BYTES
AT_ONCE = AHEAD_BYTES // CHUNK


def chunk_id(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


@dataclass
class Batches:
    """A source whose chunks are ``chunk_bytes`` long and name themselves; it takes down what it was asked for."""

    chunk_bytes: int = CHUNK
    lacking: frozenset[int] = frozenset()
    name: str = "batches"
    asked: list[int] = field(default_factory=list)

    def get(self, wanted: ChunkId) -> bytes:
        for _, content in self.get_many([wanted]):
            assert isinstance(content, bytes)
            return content
        raise ChunkMissing("lacking")

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        self.asked.append(len(ids))
        for one in ids:
            if int.from_bytes(one, "big") not in self.lacking:
                yield one, one.ljust(self.chunk_bytes, b".")


def read_all(source: Batches, numbers: list[int]) -> tuple[list[bytes], int]:
    """What is read, and the most bytes that were kept at a time."""
    ahead = ReadAhead(source, map(chunk_id, numbers))
    contents, most = [], 0
    for number in numbers:
        contents.append(ahead.get(chunk_id(number))[:32])
        most = max(most, sum(map(len, ahead._kept.values())))
    return contents, most


def test_chunks_are_asked_for_many_at_once() -> None:
    source = Batches()
    count = 3 * AT_ONCE + 2
    contents, most = read_all(source, list(range(count)))
    assert contents == [chunk_id(number) for number in range(count)]
    assert source.asked == [AT_ONCE, AT_ONCE, AT_ONCE, 2]
    assert most <= KEPT_BYTES + AHEAD_BYTES


def test_large_chunks_are_asked_for_in_smaller_numbers() -> None:
    source = Batches(chunk_bytes=4 << 20)
    _, most = read_all(source, list(range(80)))
    assert max(source.asked[1:]) <= 2
    assert most <= KEPT_BYTES + 64 * (4 << 20)


def test_a_chunk_that_is_needed_again_soon_is_not_asked_for_again() -> None:
    source = Batches()
    read_all(source, [number % AT_ONCE for number in range(10 * AT_ONCE)])
    assert source.asked == [AT_ONCE]


@given(st.lists(st.integers(0, 300), max_size=400), st.sampled_from([512, 4096, CHUNK // 8]))
def test_whatever_the_order_is_the_contents_are_right(numbers: list[int], chunk_bytes: int) -> None:
    contents, _ = read_all(Batches(chunk_bytes), numbers)
    assert contents == [chunk_id(number) for number in numbers]


def test_what_is_missing_is_said_when_it_is_its_turn_and_not_before() -> None:
    ahead = ReadAhead(Batches(lacking=frozenset({7})), map(chunk_id, range(10)))
    for number in range(7):
        ahead.get(chunk_id(number))
    with pytest.raises(ChunkMissing):
        ahead.get(chunk_id(7))
    ahead.get(chunk_id(8))


def test_the_end_says_where_the_bytes_came_from_and_how_many_were_spared() -> None:
    came = Came({"the stick": Tally(10, 4 << 20), "jukebox": Tally(2, 1 << 20, 5, 3, 1), "dvd": Tally()}, 8 << 20)
    assert came.lines() == [
        "4 MiB from the stick",
        "1 MiB from jukebox (3 damaged, it failed, and was asked no more)",
        "0 bytes from dvd",
        "3 MiB of 8 MiB did not have to come",
    ]
    fields = came.to_fields()
    assert (fields["came_bytes"], fields["spared_bytes"]) == (5 << 20, 3 << 20)
    assert fields["sources"][1] == {
        "name": "jukebox", "chunks": 2, "bytes": 1 << 20, "missing": 5, "corrupt": 3, "failed": 1
    }  # fmt: skip
