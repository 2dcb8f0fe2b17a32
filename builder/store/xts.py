"""The payload of a LUKS2 partition, encrypted and decrypted in user space as dm-crypt's ``aes-xts-plain64`` does.

Each sector of 4096 bytes is AES-256-XTS with a tweak of its own: its position in the payload in units of 512 bytes,
whatever the sector's size, as 16 bytes little-endian (Linux: drivers/md/dm-crypt.c, crypt_iv_plain64_gen).

libcrypto does the work, called directly: one context keeps the expanded key, only the tweak is set anew. The usual
bindings expand the key again for every sector and are a quarter as fast.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import weakref
from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path

from builder.store.workers import in_processes
from soulpad.base.errors import BadImage, MissingProgram, ProgramFailed
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB, SECTOR_BYTES

Range = tuple[int, int]  # from and to, in bytes; the second is not included

CRYPT_SECTOR_BYTES = 4096
KEY_BYTES = 64

_PIECE_BYTES = 4 * MIB
_ZERO_SECTOR = bytes(CRYPT_SECTOR_BYTES)


class Xts:
    """AES-256-XTS over whole sectors, in one direction, with one key."""

    def __init__(self, key: Secret, *, encrypting: bool) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an XTS key has {KEY_BYTES} bytes, not {len(key)}")
        self._lib = _libcrypto()
        self._context = self._lib.EVP_CIPHER_CTX_new()
        weakref.finalize(self, self._lib.EVP_CIPHER_CTX_free, self._context)  # which wipes the expanded key
        cipher = self._lib.EVP_aes_256_xts()
        self._require(self._lib.EVP_CipherInit_ex(self._context, cipher, None, key.reveal(), None, int(encrypting)))

    def convert(self, content: bytearray | memoryview, position_bytes: int) -> bytearray:
        """``content``, whole sectors that lie at ``position_bytes`` of the payload, in its other form."""
        if len(content) % CRYPT_SECTOR_BYTES or position_bytes % CRYPT_SECTOR_BYTES:
            raise ValueError(f"{len(content)} bytes at {position_bytes} are not whole sectors")
        converted = bytearray(len(content))
        source, target = _address(content), _address(converted)
        set_tweak, update, written = (
            self._lib.EVP_CipherInit_ex,
            self._lib.EVP_CipherUpdate,
            ctypes.byref(ctypes.c_int()),
        )
        for at in range(0, len(content), CRYPT_SECTOR_BYTES):
            tweak = ((position_bytes + at) // SECTOR_BYTES).to_bytes(16, "little")
            self._require(
                set_tweak(self._context, None, None, None, tweak, -1)
                and update(self._context, target + at, written, source + at, CRYPT_SECTOR_BYTES)
            )
        return converted

    def _require(self, succeeded: int) -> None:
        if succeeded != 1:
            raise ProgramFailed("libcrypto refused to work with AES-256-XTS", "see what is missing: soulpad doctor")


def encrypt(
    plain: Path, target: Path, payload_offset_bytes: int, ranges: Sequence[Range], key: Secret, progress: Progress
) -> None:
    """Encrypts ``ranges`` of the plain file into the payload that starts at ``payload_offset_bytes`` of ``target``.

    Ranges are whole sectors; what lies outside them in ``target`` stays as it is. Nothing is made durable.
    """
    xts = Xts(key, encrypting=True)
    with plain.open("rb") as source, target.open("r+b") as image:
        work = partial(_encrypt_piece, xts, source.fileno(), image.fileno(), payload_offset_bytes)
        in_processes(work, pieces(ranges), progress)


def decrypt(
    source: Path, payload_offset_bytes: int, plain: Path, ranges: Sequence[Range], key: Secret, progress: Progress
) -> None:
    """Decrypts ``ranges`` of the payload that starts at ``payload_offset_bytes`` of ``source`` into a fresh file.

    A sector of ciphertext that is all zero was never written: it stays a hole in ``plain``, and so does a sector
    whose plain text is zero. ``plain`` must exist, with its size, and be empty of data.
    """
    xts = Xts(key, encrypting=False)
    with source.open("rb") as image, plain.open("r+b") as target:
        work = partial(_decrypt_piece, xts, image.fileno(), target.fileno(), payload_offset_bytes)
        in_processes(work, pieces(ranges), progress)


def pieces(ranges: Sequence[Range]) -> list[Range]:
    """The same bytes in ranges of at most 4 MiB. Raises ValueError when one cuts a sector."""
    if any(edge % CRYPT_SECTOR_BYTES for piece in ranges for edge in piece):
        raise ValueError("a range is not of whole sectors")
    return [(at, min(at + _PIECE_BYTES, end)) for start, end in ranges for at in range(start, end, _PIECE_BYTES)]


def runs_with_data(content: bytes | bytearray) -> Iterator[Range]:
    """The runs of sectors that are not all zero."""
    positions = range(0, len(content), CRYPT_SECTOR_BYTES)
    for filled, run in groupby(positions, lambda at: content[at : at + CRYPT_SECTOR_BYTES] != _ZERO_SECTOR):
        if filled:
            sectors = list(run)
            yield sectors[0], sectors[-1] + CRYPT_SECTOR_BYTES


def _encrypt_piece(xts: Xts, source: int, target: int, offset_bytes: int, piece: Range) -> None:
    content = _read_at(source, piece[0], piece[1] - piece[0])
    _write_at(target, offset_bytes + piece[0], xts.convert(content, piece[0]))


def _decrypt_piece(xts: Xts, source: int, target: int, offset_bytes: int, piece: Range) -> None:
    content = _read_at(source, offset_bytes + piece[0], piece[1] - piece[0])
    for start, end in runs_with_data(content):
        plain = xts.convert(memoryview(content)[start:end], piece[0] + start)
        for first, last in runs_with_data(plain):
            _write_at(target, piece[0] + start + first, memoryview(plain)[first:last])


def _read_at(descriptor: int, position_bytes: int, count_bytes: int) -> bytearray:
    content = bytearray(count_bytes)
    done = 0
    while done < count_bytes:
        got = os.preadv(descriptor, [memoryview(content)[done:]], position_bytes + done)
        if not got:
            raise BadImage(f"the image ends at byte {position_bytes + done}", "copy the image again, it is not whole")
        done += got
    return content


def _write_at(descriptor: int, position_bytes: int, content: bytearray | memoryview) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, position_bytes)
        left, position_bytes = left[written:], position_bytes + written


def _address(content: bytearray | memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(content)) if content else 0


@cache
def _libcrypto() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypto")
    if not name:
        raise MissingProgram("libcrypto of OpenSSL is not installed", "see what is missing: soulpad doctor")
    lib = ctypes.CDLL(name)
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    lib.EVP_CIPHER_CTX_new.restype = lib.EVP_aes_256_xts.restype = pointer
    lib.EVP_CIPHER_CTX_free.argtypes = [pointer]
    lib.EVP_CIPHER_CTX_free.restype = None
    lib.EVP_CipherInit_ex.argtypes = [pointer, pointer, pointer, text, text, number]
    lib.EVP_CipherUpdate.argtypes = [pointer, pointer, ctypes.POINTER(number), pointer, number]
    return lib
