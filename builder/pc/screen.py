"""Pictures of an emulated PC's screen: kept as PNG files, compared by tests.

QEMU hands over PPM, whose pixels lie bare. The PNG files (PNG specification, third edition) are written here
without filters and interlacing, so that they are read back here as simply; other programs' PNG files are refused.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import BadInput

CURSOR_PIXELS = 9 * 16  # a text mode's block cursor: all that may be lit on a blank screen

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")  # width, height, bits, colour type, compression, filter, interlace
_RGB8 = (8, 2, 0, 0, 0)
_PIXEL_BYTES = 3


@dataclass(frozen=True)
class Picture:
    """``rgb``: three bytes a pixel, row by row from the top."""

    width: int
    height: int
    rgb: bytes

    def rows(self) -> list[bytes]:
        """The picture's rows."""
        row_bytes = self.width * _PIXEL_BYTES
        return [self.rgb[start : start + row_bytes] for start in range(0, len(self.rgb), row_bytes)]


def is_blank(path: Path) -> bool:
    """Whether the PNG file ``path`` shows one colour and at most a cursor. Raises BadInput."""
    picture = read_png(path)
    colours = Counter(_pixels(picture.rgb))
    return colours.total() - colours.most_common(1)[0][1] <= CURSOR_PIXELS


def differs(first: Path, second: Path, more_pixels_than: int = CURSOR_PIXELS) -> bool:
    """Whether two PNG files differ in size, or in more than a blinking cursor's pixels. Raises BadInput."""
    one, other = read_png(first), read_png(second)
    if (one.width, one.height) != (other.width, other.height):
        return True
    return differing_pixels(one, other) > more_pixels_than


def differing_pixels(one: Picture, other: Picture) -> int:
    """How many pixels differ between two pictures of the same size."""
    return sum(
        sum(p != q for p, q in zip(_pixels(row), _pixels(twin), strict=True))
        for row, twin in zip(one.rows(), other.rows(), strict=True)
        if row != twin
    )


def parse_ppm(content: bytes) -> Picture:
    """A picture from QEMU's PPM (binary, 8 bits a colour). Raises BadInput."""
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", content)
    if head:
        picture = Picture(int(head[1]), int(head[2]), content[head.end() :])
        if _is_whole(picture):
            return picture
    raise BadInput("this is no whole PPM picture of 8 bits a colour")


def encode_png(picture: Picture) -> bytes:
    """The PNG file of a picture."""
    plain = b"".join(b"\0" + row for row in picture.rows())  # each row: filter 0, then its pixels
    header = _HEADER.pack(picture.width, picture.height, *_RGB8)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(plain, 6)) + _chunk(b"IEND", b"")


def read_png(path: Path) -> Picture:
    """The picture in a PNG file that ``encode_png`` made. Raises BadInput for any other file."""
    try:
        return parse_png(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except (BadInput, ValueError, struct.error, zlib.error):
        raise BadInput(f"{path} is no screenshot of an emulated PC") from None


def parse_png(content: bytes) -> Picture:
    """Raises BadInput, ValueError, struct.error or zlib.error when it is not as ``encode_png`` writes it."""
    chunks = dict(_chunks(content))
    width, height, *kind = _HEADER.unpack(chunks[b"IHDR"]) if b"IHDR" in chunks else (0, 0)
    if tuple(kind) != _RGB8:
        raise BadInput("not a PNG file of three times 8 bits a pixel")
    plain = zlib.decompress(chunks.get(b"IDAT", b""))
    row_bytes = 1 + width * _PIXEL_BYTES
    starts = range(0, len(plain), row_bytes)
    if any(plain[start] for start in starts):
        raise BadInput("a PNG file with filters")
    picture = Picture(width, height, b"".join(plain[start + 1 : start + row_bytes] for start in starts))
    if not _is_whole(picture):
        raise BadInput("a truncated PNG file")
    return picture


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    if not content.startswith(_SIGNATURE):
        raise BadInput("not a PNG file")
    found, position = [], len(_SIGNATURE)
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        found.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += length + 12
    return found


def _pixels(rgb: bytes) -> zip[tuple[int, int, int]]:
    return zip(rgb[0::3], rgb[1::3], rgb[2::3], strict=True)


def _is_whole(picture: Picture) -> bool:
    return 0 < picture.width * picture.height * _PIXEL_BYTES == len(picture.rgb)
