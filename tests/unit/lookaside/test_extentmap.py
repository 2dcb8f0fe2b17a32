"""Extent maps: differences laid over whole maps, and what comes back from their bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.errors import DamagedManifest
from lookaside.extentmap import ZEROS, Extent, decode_extents, encode_extents, overlaid, unzigzag, zigzag

IMAGE_UNITS = 60
CHUNK_UNITS = [40] * 5


@st.composite
def maps(draw: st.DrawFn, zeros: bool) -> list[Extent]:
    """Sorted extents that do not overlap; chunks large enough for any part."""
    extents, start = [], 0
    while start < IMAGE_UNITS and draw(st.booleans()):
        start += draw(st.integers(0, 10))
        units = draw(st.integers(1, 12))
        if start + units > IMAGE_UNITS:
            break
        chunk = draw(st.integers(ZEROS if zeros else 0, len(CHUNK_UNITS) - 1))
        offset = 0 if chunk == ZEROS else draw(st.integers(0, 40 - units))
        extents.append(Extent(start, units, chunk, offset))
        start += units
    return extents


def units_of_map(extents: list[Extent]) -> list[tuple[int, int]]:
    """Chunk and offset of each unit: what the map means."""
    units = [(ZEROS, 0)] * IMAGE_UNITS
    for extent in extents:
        for index in range(extent.units):
            offset = 0 if extent.chunk == ZEROS else extent.chunk_offset + index
            units[extent.start + index] = (extent.chunk, offset)
    return units


@given(maps(zeros=False), maps(zeros=True), st.integers(0, IMAGE_UNITS))
def test_a_difference_replaces_just_what_it_covers(base: list[Extent], difference: list[Extent], size: int) -> None:
    expected = units_of_map(base)
    for extent in difference:
        expected[extent.start : extent.end] = units_of_map([extent])[extent.start : extent.end]
    expected[size:] = [(ZEROS, 0)] * (IMAGE_UNITS - size)
    found = list(overlaid(base, difference, size))
    assert units_of_map(found) == expected
    assert all(extent.units > 0 and extent.chunk != ZEROS and extent.end <= size for extent in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(maps(zeros=True))
def test_extents_come_back_from_their_bytes(extents: list[Extent]) -> None:
    assert decode_extents(encode_extents(extents), IMAGE_UNITS, CHUNK_UNITS) == extents


@given(st.binary(max_size=40))
def test_any_bytes_are_extents_that_lead_somewhere_or_are_refused(encoded: bytes) -> None:
    try:
        extents = decode_extents(encoded, IMAGE_UNITS, CHUNK_UNITS)
    except DamagedManifest:
        return
    assert all(0 <= extent.start < extent.end <= IMAGE_UNITS for extent in extents)
    assert all(extent.chunk == ZEROS or extent.chunk_offset + extent.units <= 40 for extent in extents)


def test_the_extents_of_a_disk_in_order_take_four_bytes_each() -> None:
    assert len(encode_extents([Extent(at * 32, 32, at, 0) for at in range(100)])) == 400


@pytest.mark.parametrize("encoded", [b"\x80", b"\x00\x00\x00", b"\x00\x3d\x00", b"\x00\x01\x0c\x00", b"\xff" * 12])
def test_extents_that_lead_nowhere_are_refused(encoded: bytes) -> None:
    with pytest.raises(DamagedManifest):
        decode_extents(encoded, IMAGE_UNITS, CHUNK_UNITS)


@given(st.integers(-(1 << 40), 1 << 40))
def test_zigzag_keeps_the_sign(number: int) -> None:
    assert zigzag(number) >= 0 and unzigzag(zigzag(number)) == number
