"""The payload's cipher against the standard's own vector and against XTS written out over AES-ECB."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.store import xts
from builder.store.xts import Xts
from soulpad.base.errors import BadImage
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.base.secrets import Secret

SECTOR = xts.CRYPT_SECTOR_BYTES

# IEEE Std 1619-2007, annex B, vector 10: XTS-AES-256, data unit ff, 512 bytes of 00 01 .. ff twice.
VECTOR_KEY = bytes.fromhex(
    "2718281828459045235360287471352662497757247093699959574966967627"
    "3141592653589793238462643383279502884197169399375105820974944592"
)
VECTOR_UNIT = 0xFF
VECTOR_START = bytes.fromhex(
    "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
    "5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd"
)
VECTOR_END = bytes.fromhex("38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151")


def aes_ecb(key: bytes, content: bytes) -> bytes:
    """AES-256-ECB by the openssl program: a second implementation's road to the same cipher."""
    with TemporaryFile() as file:
        run(["openssl", "enc", "-aes-256-ecb", "-nopad", "-K", key.hex()], stdin=content, stdout=file)
        file.seek(0)
        return file.read()


def xts_by_hand(key: bytes, unit: int, content: bytes) -> bytes:
    """XTS as IEEE 1619 section 5 defines it, for whole blocks of one data unit."""
    mask = int.from_bytes(aes_ecb(key[32:], unit.to_bytes(16, "little")), "little")
    masks = []
    for _ in range(len(content) // 16):
        masks.append(mask.to_bytes(16, "little"))
        mask = (mask << 1) ^ (0x1_00000000_00000000_00000000_00000087 if mask >> 127 else 0)
    return xor(aes_ecb(key[:32], xor(content, b"".join(masks))), b"".join(masks))


def xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def test_the_oracle_gives_the_standards_vector() -> None:
    cipher = xts_by_hand(VECTOR_KEY, VECTOR_UNIT, bytes(range(256)) * 2)
    assert cipher.startswith(VECTOR_START)
    assert cipher.endswith(VECTOR_END)


@pytest.mark.parametrize("first_sector", [0, 1, 7, 1 << 20, 1 << 33])
def test_each_sector_is_xts_with_its_position_in_units_of_512_bytes(first_sector: int) -> None:
    content = os.urandom(3 * SECTOR)
    cipher = Xts(Secret(VECTOR_KEY), encrypting=True).convert(bytearray(content), first_sector * SECTOR)
    for index in range(3):
        part = slice(index * SECTOR, (index + 1) * SECTOR)
        assert cipher[part] == xts_by_hand(VECTOR_KEY, (first_sector + index) * 8, content[part])


def test_decrypting_gives_back_what_was_encrypted() -> None:
    key = Secret(os.urandom(64))
    content = bytearray(os.urandom(5 * SECTOR))
    cipher = Xts(key, encrypting=True).convert(content, SECTOR)
    assert Xts(key, encrypting=False).convert(cipher, SECTOR) == content
    assert Xts(key, encrypting=False).convert(cipher, 2 * SECTOR) != content


def test_parts_of_sectors_are_refused() -> None:
    cipher = Xts(Secret(VECTOR_KEY), encrypting=True)
    for count, position in ((SECTOR - 1, 0), (SECTOR, 512)):
        with pytest.raises(ValueError, match="whole sectors"):
            cipher.convert(bytearray(count), position)
    with pytest.raises(ValueError, match="64 bytes"):
        Xts(Secret(b"short"), encrypting=True)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_with_data_are_the_sectors_that_are_not_zero(filled: list[bool]) -> None:
    content = bytearray(b"".join((bytes(SECTOR - 1) + b"x") if full else bytes(SECTOR) for full in filled))
    runs = list(xts.runs_with_data(content))
    covered = {at for start, end in runs for at in range(start, end, SECTOR)}
    assert covered == {index * SECTOR for index, full in enumerate(filled) if full}
    assert all(one[1] < other[0] for one, other in pairwise(runs))  # none touch: each is whole


def test_pieces_cover_the_ranges_without_overlap() -> None:
    ranges = [(SECTOR, 9 << 20), (20 << 20, (20 << 20) + SECTOR)]
    parts = xts.pieces(ranges)
    assert max(end - start for start, end in parts) == 4 << 20
    assert [at for start, end in parts for at in range(start, end, SECTOR)] == [
        at for start, end in ranges for at in range(start, end, SECTOR)
    ]
    with pytest.raises(ValueError, match="whole sectors"):
        xts.pieces([(0, 100)])


def filled_file(path: Path, size_bytes: int, parts: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for at, content in parts.items():
            file.seek(at)
            file.write(content)
    return path


def test_only_the_given_ranges_are_encrypted_and_holes_stay_holes(tmp_path: Path) -> None:
    key, offset, size = Secret(os.urandom(64)), 16 << 20, 64 << 20
    content = os.urandom(6 << 20)
    plain = filled_file(tmp_path / "plain", size, {0: content, 40 << 20: b"left out" * 512})
    image = filled_file(tmp_path / "image", offset + size, {0: b"header", offset + size - 4: b"tail"})
    ranges = [(0, 8 << 20), (62 << 20, 63 << 20)]

    xts.encrypt(plain, image, offset, ranges, key, Silent())
    raw = image.read_bytes()
    assert raw.startswith(b"header")
    assert raw.endswith(b"tail")
    assert content[:SECTOR] not in raw
    assert b"left out" not in raw
    assert raw[offset + (8 << 20) : offset + (62 << 20)].count(0) == 54 << 20
    assert image.stat().st_blocks * 512 < 11 << 20

    back = filled_file(tmp_path / "back", size, {})
    xts.decrypt(image, offset, back, [(0, 63 << 20)], key, Silent())
    assert back.read_bytes() == content + bytes(size - len(content))
    assert back.stat().st_blocks * 512 < 7 << 20


def test_an_image_that_ends_early_is_said_to(tmp_path: Path) -> None:
    image = filled_file(tmp_path / "image", 10 * SECTOR, {0: b"x" * 10 * SECTOR})
    back = filled_file(tmp_path / "back", 20 * SECTOR, {})
    with pytest.raises(BadImage, match=f"ends at byte {10 * SECTOR}"):
        xts.decrypt(image, 0, back, [(0, 20 * SECTOR)], Secret(VECTOR_KEY), Silent())
