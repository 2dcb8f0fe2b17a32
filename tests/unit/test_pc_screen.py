"""Screenshots: kept as PNG, judged blank or different."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.pc.screen import CURSOR_PIXELS, Picture, differs, encode_png, is_blank, parse_png, parse_ppm, read_png
from soulpad.base.errors import BadInput

BLUE, WHITE = b"\x00\x00\xff", b"\xff\xff\xff"
WIDTH, HEIGHT = 64, 48


def screen(lit_pixels: int, background: bytes = BLUE) -> Picture:
    return Picture(WIDTH, HEIGHT, WHITE * lit_pixels + background * (WIDTH * HEIGHT - lit_pixels))


def saved(path: Path, picture: Picture) -> Path:
    path.write_bytes(encode_png(picture))
    return path


def with_filters(picture: Picture) -> bytes:
    """A PNG file as other programs write it: each row as the difference to the one above (filter 2)."""
    plain = zlib.compress(b"".join(b"\2" + row for row in picture.rows()))
    head = encode_png(picture)[:33]
    return head + struct.pack(">I4s", len(plain), b"IDAT") + plain + struct.pack(">I", zlib.crc32(b"IDAT" + plain))


pictures = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda size: st.binary(min_size=size[0] * size[1] * 3, max_size=size[0] * size[1] * 3).map(
        lambda rgb: Picture(*size, rgb)
    )
)


@given(pictures)
def test_png_holds_the_pixels_of_the_picture(picture: Picture) -> None:
    assert parse_png(encode_png(picture)) == picture


@given(pictures)
def test_ppm_of_qemu_is_read_pixel_by_pixel(picture: Picture) -> None:
    assert parse_ppm(b"P6\n%d %d\n255\n" % (picture.width, picture.height) + picture.rgb) == picture


@pytest.mark.parametrize("content", [b"", b"P5\n1 1\n255\n\0", b"P6\n2 1\n255\n\0\0\0", b"P6\n0 0\n255\n"])
def test_half_a_ppm_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        parse_ppm(content)


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = encode_png(screen(10))
    for content in (b"", b"GIF89a", whole[:60], whole[:20], with_filters(screen(10))):
        path = tmp_path / "picture.png"
        path.write_bytes(content)
        with pytest.raises(BadInput, match="no screenshot"):
            read_png(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_png(tmp_path / "missing.png")


@pytest.mark.parametrize(("lit", "blank"), [(0, True), (CURSOR_PIXELS, True), (CURSOR_PIXELS + 1, False)])
def test_screen_with_nothing_but_a_cursor_is_blank(tmp_path: Path, lit: int, blank: bool) -> None:
    assert is_blank(saved(tmp_path / "screen.png", screen(lit))) is blank


@pytest.mark.parametrize(("lit", "different"), [(0, False), (CURSOR_PIXELS, False), (CURSOR_PIXELS + 1, True)])
def test_blinking_cursor_makes_no_different_screen(tmp_path: Path, lit: int, different: bool) -> None:
    first, second = saved(tmp_path / "a.png", screen(0)), saved(tmp_path / "b.png", screen(lit))
    assert differs(first, second) is different


def test_other_resolution_is_a_different_screen(tmp_path: Path) -> None:
    small = saved(tmp_path / "small.png", Picture(WIDTH, HEIGHT - 1, BLUE * (WIDTH * (HEIGHT - 1))))
    assert differs(saved(tmp_path / "a.png", screen(0)), small)
