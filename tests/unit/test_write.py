"""What of an image reaches a stick: arithmetic on byte ranges, and the comparison."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.device.devices import StickDevice
from builder.device.stickcontents import checked_image, file_systems, solid_regions
from builder.device.writeplan import ALIGNMENT_BYTES, Span, data_spans, merged, pieces, plan
from builder.disk.partitions import plan as plan_layout
from builder.disk.partitions import write_table
from builder.write import first_difference, require_room
from soulpad.base.errors import BadImage, DeviceTooSmall
from soulpad.base.units import GIB, MIB

BODY = Span(0, 64 * MIB)


def covered(spans: tuple[Span, ...], offset: int) -> bool:
    return any(span.start <= offset < span.end for span in spans)


def test_a_hole_before_a_regions_last_data_is_zeroed_whole() -> None:
    data = [Span(0, MIB), Span(20 * MIB, 21 * MIB)]
    made = plan(data, [], [Span(0, 21 * MIB)], BODY)
    assert made.zeros == (Span(MIB, 20 * MIB),)


def test_of_the_free_space_behind_the_data_only_the_edges_are_zeroed() -> None:
    made = plan([Span(0, MIB)], [], [Span(0, 21 * MIB)], BODY)
    assert made.zeros == (Span(MIB, 2 * MIB), Span(20 * MIB, 21 * MIB))


def test_an_empty_region_loses_the_signatures_at_its_edges() -> None:
    made = plan([], [], [Span(8 * MIB, 40 * MIB)], BODY)
    assert made.zeros == (Span(8 * MIB, 9 * MIB), Span(39 * MIB, 40 * MIB))


def test_in_a_solid_region_every_hole_is_zeroed() -> None:
    made = plan([Span(MIB, 2 * MIB)], [Span(0, 16 * MIB)], [], BODY)
    assert made.zeros == (Span(0, MIB), Span(2 * MIB, 16 * MIB))


def test_holes_outside_all_regions_are_left_and_counted() -> None:
    made = plan([Span(0, MIB), Span(62 * MIB, 63 * MIB)], [], [Span(0, MIB)], BODY)
    assert made.copies == (Span(0, MIB), Span(62 * MIB, 63 * MIB))
    assert made.zeros == ()
    assert made.left_bytes == 62 * MIB


def test_data_outside_the_body_are_not_copied() -> None:
    made = plan([Span(0, 100 * MIB)], [], [], Span(MIB, 63 * MIB))
    assert made.copies == (Span(MIB, 63 * MIB),)


spans = st.lists(st.tuples(st.integers(0, 60 * MIB), st.integers(1, 3 * MIB))).map(
    lambda pairs: [Span(start, start + length) for start, length in pairs]
)


@given(data=spans, edge=st.integers(0, 63))
def test_any_plan_is_aligned_disjoint_and_copies_every_byte_of_data(data: list[Span], edge: int) -> None:
    made = plan(data, [Span(0, edge * MIB)], [Span(edge * MIB, 64 * MIB)], BODY)
    everything = sorted((*made.copies, *made.zeros))
    for before, after in pairwise(everything):
        assert before.end <= after.start
    assert all(offset % ALIGNMENT_BYTES == 0 for span in everything for offset in span)
    assert all(covered(made.copies, span.start) and covered(made.copies, span.end - 1) for span in data)
    assert made.total_bytes + made.left_bytes == BODY.length_bytes


@given(spans, st.integers(1, MIB))
def test_pieces_are_small_enough_and_add_up(data: list[Span], piece_bytes: int) -> None:
    joined = merged(data)
    cut = list(pieces(joined[:3], max(piece_bytes, 64 * 1024)))
    assert merged(cut) == joined[:3]
    assert all(0 < piece.length_bytes <= max(piece_bytes, 64 * 1024) for piece in cut)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_the_first_difference_is_found(content: bytes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(content) - 1))
    other = bytearray(content)
    for changed in range(index, len(content)):
        other[changed] ^= 0xFF
    assert first_difference(content, bytes(other)) == index
    assert first_difference(content, content) is None


def test_holes_of_a_file_are_no_data(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 16 * MIB)
    with image.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(b"x" * 4096)
        file.flush()
        found = list(data_spans(file.fileno(), 16 * MIB))
    assert found == [Span(8 * MIB, 8 * MIB + 4096)]


def test_only_the_parcels_payload_may_keep_what_the_stick_held_anywhere() -> None:
    layout = plan_layout(2 * GIB, 64 * MIB, "0011aabb")
    parcels = layout.of("parcels")
    regions = merged([*solid_regions(layout), *file_systems(layout)])
    assert regions[0].start == MIB
    assert regions[-1].end == parcels.offset_bytes + 16 * MIB
    assert sum(span.length_bytes for span in regions) == 16 * MIB + sum(
        partition.size_bytes for partition in layout.partitions if partition is not parcels
    )


def stick(size_bytes: int) -> StickDevice:
    return StickDevice(Path("/dev/sdx"), None, 0, "", "", size_bytes, 512, "usb", True, (), ())


def test_a_stick_that_is_too_small_is_named_with_what_it_lacks() -> None:
    layout = plan_layout(2 * GIB, 64 * MIB, "0011aabb")
    require_room(layout, stick(2 * GIB))
    with pytest.raises(DeviceTooSmall) as refused:
        require_room(layout, stick(2 * GIB - 512))
    assert refused.value.message == "/dev/sdx (2 GiB) is 512 bytes smaller than the image (2 GiB)"
    assert "at least 2048 MiB" in refused.value.hint


@pytest.mark.parametrize("content", [b"", b"not an image" * 1000])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    with pytest.raises(BadImage):
        checked_image(image)


def test_a_truncated_image_is_refused_and_a_folder_too(tmp_path: Path) -> None:
    image = tmp_path / "image"
    write_table(image, plan_layout(2 * GIB, 64 * MIB, "0011aabb"))
    assert checked_image(image).stick_id == "0011aabb"
    os.truncate(image, GIB)
    with pytest.raises(BadImage, match="truncated"):
        checked_image(image)
    with pytest.raises(BadImage, match="is not a file"):
        checked_image(tmp_path)
    with pytest.raises(BadImage, match="does not exist"):
        checked_image(tmp_path / "nothing")
