"""Outlines as bytes: whatever was done to them, what they prove is the chunk's, and what they claim takes no memory."""

from __future__ import annotations

import errno
import tracemalloc
from pathlib import Path

import pytest

from lookaside.domain import ChunkId, Domain
from lookaside.errors import CorruptChunk
from lookaside.framing import header
from lookaside.outlines import (
    MAGIC,
    VERSION,
    encoded_head,
    image_name,
    is_outlines,
    number_in,
    page_ids_of,
    proved,
    read_head,
    read_page_ids,
)
from lookaside.outlining import Outlining
from lookaside.source import FirstOf
from lookaside.standing import Outlines
from lookaside.storedimage import StoredImage
from soulpad.base.errors import SoulpadError
from tests.unit.backup_parcels import ReadBytes

from .outlined import DISK, RAM, Machine, image, page
from .shelves import DOMAIN, MemoryStore

PAGE = 4096
CONTENTS = {DOMAIN.chunk_id(content): content for content in (image([1, 2, 0]), image([3]) + b"short", image([4, 5]))}
UNITS = [(chunk_id, -(-len(content) // PAGE)) for chunk_id, content in CONTENTS.items()]
HEAD_BYTES = len(encoded_head(DOMAIN, UNITS))
WHOLE = encoded_head(DOMAIN, UNITS) + b"".join(page_ids_of(DOMAIN, content) for content in CONTENTS.values())
ANYTHING = image([4, 1, 0, 9, 3, 2, 5, 1])  # what a stick may have


def proves(encoded: bytes, content: bytes = ANYTHING) -> set[tuple[ChunkId, int]]:
    """The units that the encoded outlines prove somewhere in ``content``, each of which must be the chunk's."""
    found = set()
    for chunk_id, units in read(encoded).items():
        for start in range(0, len(content), PAGE):
            for first in range(len(units)):
                for unit, there in proved(DOMAIN, units, first, content[start : start + PAGE]):
                    assert CONTENTS[chunk_id][unit * PAGE :][:PAGE] == there
                    found.add((chunk_id, unit))
    return found


def read(encoded: bytes) -> dict[ChunkId, list[bytes]]:
    """As whoever restores reads them; nothing where they are refused."""
    try:
        found = read_head(DOMAIN, ReadBytes(encoded), CONTENTS)
        return {chunk_id: read_page_ids(ReadBytes(encoded), outline) for chunk_id, outline in found.items()}
    except SoulpadError as error:
        assert error.message
        return {}


def test_whole_outlines_prove_each_page_that_is_there_zeros_too() -> None:
    assert len(proves(WHOLE)) == 6, "all but the short one"
    ((chunk_id, unit),) = proves(WHOLE, b"short")
    assert (CONTENTS[chunk_id][unit * PAGE :], unit) == (b"short", 1)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_outlines_with_any_byte_flipped_prove_nothing_wrong(mask: int) -> None:
    whole = proves(WHOLE)
    for position in range(len(WHOLE)):
        flipped = bytearray(WHOLE)
        flipped[position] ^= mask
        found = proves(bytes(flipped))
        assert found <= whole
        assert bool(found) is (position >= HEAD_BYTES), "an altered head is refused"


def test_outlines_cut_short_anywhere_prove_nothing_wrong() -> None:
    assert not any(proves(WHOLE[:length]) for length in range(len(WHOLE)))
    assert not proves(WHOLE + b"\0")


def test_outlines_lost_to_zeros_prove_no_page_of_zeros() -> None:
    assert proves(WHOLE[:HEAD_BYTES].ljust(len(WHOLE), b"\0")) == set()


def test_outlines_of_another_key_count_as_none() -> None:
    with pytest.raises(CorruptChunk):
        read_head(Domain.new(), ReadBytes(WHOLE), CONTENTS)


@pytest.mark.parametrize("count", [3, 1 << 20, (1 << 32) - 1])
@pytest.mark.parametrize("size", [80, 1 << 25])
def test_outlines_that_claim_more_than_there_is_take_no_memory(count: int, size: int) -> None:
    class Large(ReadBytes):
        size_bytes = size

        def read_at(self, position: int, count: int) -> bytes:
            return (self.content[position:] + bytes(1 << 20))[: max(0, min(count, size - position))]

    image = Large(header(MAGIC, VERSION, DOMAIN.public_id) + count.to_bytes(4, "little") + bytes(12))
    tracemalloc.start()
    with pytest.raises(CorruptChunk):
        read_head(DOMAIN, image, CONTENTS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize(
    "name", ["outlines-", "outlines-x", "outlines-٣", "outlines--1", "outlines-1 ", "1", "disk-0.img"]
)
def test_another_images_name_is_none_of_outlines(name: str) -> None:
    assert not is_outlines(name)


@pytest.mark.parametrize("number", [0, 7, 1234567890])
def test_a_name_says_which_version_brought_the_outlines(number: int) -> None:
    assert number_in(image_name(number)) == number


def test_outlines_are_made_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lookaside.outlining.IN_MEMORY_BYTES", 100)  # then there is a file
    machine = Machine(tmp_path)
    disk = image(list(range(1, 700)))
    version = machine.save({DISK: disk, RAM: page(800)})
    stored = StoredImage(version.images["outlines-0"], version.chunks, machine.store)
    found = Outlines(DOMAIN, version, FirstOf([machine.store]))
    found.look_for(set(version.chunks))
    for extent in version.images[DISK].extents:
        content = disk[extent.start * PAGE : extent.end * PAGE]
        assert b"".join(found.page_ids(version.chunks[extent.chunk])) == page_ids_of(DOMAIN, content)
    whole = stored.read_at(0, stored.size_bytes)
    for position, count in ((0, 1), (63, 40), (80, 9000), (4095, 2), (len(whole) - 3, 100), (len(whole) + 5, 3)):
        assert stored.read_at(position, count) == whole[position : position + count]


def test_where_there_is_no_room_for_outlines_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    machine = Machine(tmp_path)
    monkeypatch.setattr("lookaside.outlining.page_ids_of", is_full)
    version = machine.save({DISK: image([1, 2]), RAM: image([3])})
    assert set(version.images) == {DISK, RAM}


def test_what_is_kept_twice_has_one_outline() -> None:
    store = MemoryStore()
    outlining = Outlining(DOMAIN, store)
    for content in (page(1), page(2), page(1)):
        outlining.keep(DOMAIN.chunk_id(content), content)
    assert len(outlining._image().read_at(0, 10_000)) == 80 + 2 * (36 + 16) + 16
    assert outlining.has(DOMAIN.chunk_id(page(2))) and not outlining.has(DOMAIN.chunk_id(page(3)))
