"""Bodies: what stands for a piece of plaintext outside. Compressed, padded, encrypted and bound to what it is.

    body      = nonce (12 bytes, random) | ciphertext | tag (16 bytes)            AES-256-GCM
    plaintext = payload bytes (u32, little-endian) | payload | zeros up to the padded size
    payload   = the content as it is (encoding 0), or a zstd frame (encoding 1, whichever is shorter)

The associated data say what the body is for, so that no body can stand in another's place. The nonces are random: below
one key no more than 2**32 bodies may be made (NIST SP 800-38D, 8.3), which is 256 TiB of chunks.

Compressed sizes would tell which of many known files somebody keeps, so a body's size is rounded up as PADME does
(Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PETS 2019): to as many leading bits as the size's
exponent takes to write down. That costs a 64 KiB chunk 1.5 % on average, 6 % at most.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lookaside.errors import CorruptChunk
from soulpad.base.secrets import Secret

NONCE_BYTES = 12
TAG_BYTES = 16
LENGTH_BYTES = 4
OVERHEAD_BYTES = NONCE_BYTES + LENGTH_BYTES + TAG_BYTES

PLAIN = 0
ZSTD = 1
ZSTD_LEVEL = 3


@dataclass(frozen=True)
class Sealed:
    """A body, and how its payload is encoded."""

    encoding: int
    body: bytes


def seal(key: Secret, content: bytes | memoryview, purpose: bytes, level: int = ZSTD_LEVEL) -> Sealed:
    """Compresses, pads and encrypts ``content``, and binds ``purpose``, encoding and the content's size to it."""
    packed = zstandard.ZstdCompressor(level=level, write_checksum=False).compress(content)
    encoding, payload = (ZSTD, packed) if len(packed) < len(content) else (PLAIN, bytes(content))
    padded = padded_bytes(LENGTH_BYTES + len(payload))
    plaintext = (len(payload).to_bytes(LENGTH_BYTES, "little") + payload).ljust(padded, b"\0")
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(key.reveal()).encrypt(nonce, plaintext, bound(purpose, encoding, len(content)))
    return Sealed(encoding, nonce + ciphertext)


def unseal(key: Secret, sealed: Sealed, purpose: bytes, content_bytes: int) -> bytes:
    """The content, of exactly ``content_bytes``; memory for no more is taken. Raises CorruptChunk."""
    nonce, ciphertext = sealed.body[:NONCE_BYTES], sealed.body[NONCE_BYTES:]
    if len(sealed.body) < OVERHEAD_BYTES:
        raise corrupt("it is too short")
    try:
        plaintext = AESGCM(key.reveal()).decrypt(nonce, ciphertext, bound(purpose, sealed.encoding, content_bytes))
    except InvalidTag:
        raise corrupt("it is altered, or of another key") from None
    length = int.from_bytes(plaintext[:LENGTH_BYTES], "little")
    if length > len(plaintext) - LENGTH_BYTES:
        raise corrupt("its length is wrong")
    content = decoded(plaintext[LENGTH_BYTES : LENGTH_BYTES + length], sealed.encoding, content_bytes)
    if len(content) != content_bytes:
        raise corrupt("its content has another size than it should")
    return content


def decoded(payload: bytes, encoding: int, content_bytes: int) -> bytes:
    """The content of a payload; raises CorruptChunk."""
    if encoding == PLAIN:
        return payload
    if encoding != ZSTD:
        raise corrupt(f"its encoding {encoding} is not known")
    try:
        if zstandard.frame_content_size(payload) != content_bytes:  # said by the frame, so that no bomb is unpacked
            raise corrupt("its content has another size than it should")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=content_bytes)
    except zstandard.ZstdError:
        raise corrupt("it cannot be decompressed") from None


def bound(purpose: bytes, encoding: int, content_bytes: int) -> bytes:
    """The associated data of a body."""
    return purpose + bytes([encoding]) + content_bytes.to_bytes(8, "little")


def padded_bytes(count: int) -> int:
    """``count`` rounded up as PADME does; 0 and 1 stay."""
    if count < 2:
        return count
    exponent = count.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-count // step) * step


def corrupt(what: str) -> CorruptChunk:
    """The error for a body that is not what it should be."""
    return CorruptChunk(f"A chunk is damaged: {what}.", "another source is asked for it")
