"""What differs by the file system's maps: nothing that does may be left out, however the extents fall."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.changed import Placed, changed_spans, differing, placed, whole
from soulpad.base import extents
from soulpad.base.extents import PLACE_MEANS_NOTHING, UNWRITTEN, Extent

SIZE = 40
ENCODED = 0x8
SHARED = 0x2000


@st.composite
def disk_maps(draw: st.DrawFn) -> list[Extent]:
    """Extents of a file of SIZE bytes, with holes, reserved blocks and such whose place means nothing."""
    found, at = [], 0
    while at < SIZE and draw(st.booleans()):
        at += draw(st.integers(0, 4))
        length = draw(st.integers(1, 12))
        physical = draw(st.integers(0, 3)) * 100 + at
        found.append(Extent(at, physical, length, draw(st.sampled_from([0, SHARED, UNWRITTEN, ENCODED]))))
        at += length
    return found


def places(found_extents: list[Extent]) -> list[object]:
    """Of each byte: where it lies, "zero", or something that equals nothing."""
    found: list[object] = ["zero"] * SIZE
    for extent in found_extents:
        for index in range(extent.length_bytes):
            if extent.logical_bytes + index < SIZE:
                place: object = extent.physical_bytes + index
                if extent.flags & PLACE_MEANS_NOTHING:
                    place = object()
                elif extent.flags & UNWRITTEN:
                    place = "zero"
                found[extent.logical_bytes + index] = place
    return found


@given(disk_maps(), disk_maps())
def test_each_byte_that_does_not_lie_in_the_same_place_is_changed_and_no_other(
    old: list[Extent], new: list[Extent]
) -> None:
    spans = list(differing(placed(old, SIZE), placed(new, SIZE), SIZE))
    told = {at for start, end in spans for at in range(start, end)}
    assert told == {at for at, pair in enumerate(zip(places(old), places(new), strict=True)) if pair[0] != pair[1]}


def test_a_hole_at_the_end_is_covered_too() -> None:
    assert list(placed([Extent(0, 700, 10, 0)], 30)) == [Placed(10, 700, True), Placed(30, None, True)]


def test_growth_is_changed_and_what_was_cut_off_needs_no_telling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(bytes(100))
    new.write_bytes(bytes(160))
    monkeypatch.setattr(extents, "extents_of", lambda descriptor, write_first: [Extent(0, 5000, 200, SHARED)])
    assert changed_spans(old, new) == [(100, 160)]
    assert changed_spans(new, old) == []


def test_where_the_file_system_cannot_say_all_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, write_first: bool) -> list[Extent]:
        raise OSError(errno.EOPNOTSUPP, "no fiemap")

    for name in ("old", "new"):
        (tmp_path / name).write_bytes(bytes(100))
    monkeypatch.setattr(extents, "extents_of", refuse)
    assert changed_spans(tmp_path / "old", tmp_path / "new") == [(0, 100)]


def test_an_empty_file_has_no_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "new"):
        (tmp_path / name).touch()
    monkeypatch.setattr(extents, "extents_of", lambda descriptor, write_first: [])
    assert changed_spans(tmp_path / "old", tmp_path / "new") == []
    assert whole(0) == []
