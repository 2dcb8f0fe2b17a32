"""What packs and manifests have in common: a header that says what a file is and whose, and checks of single parts.

    header  64 bytes   magic (8) | version u16 | zeros (6) | domain id (16) | zeros (16) | check (16)

A check is the first 16 bytes of the BLAKE3 of what it covers. It tells damage from a whole part without a key; what
keeps a forger out are names and ciphers. Numbers are little-endian.
"""

from __future__ import annotations

import struct

from blake3 import blake3

from lookaside.domain import DomainId
from soulpad.base.errors import UnknownFormat

CHECK_BYTES = 16
_HEADER = struct.Struct("<8sH6x16s16x")
HEADER_BYTES = _HEADER.size + CHECK_BYTES


class NotWhole(Exception):
    """A part is altered or cut short. Whoever asked knows what it was a part of, and says so."""


def header(magic: bytes, version: int, domain_id: DomainId) -> bytes:
    """A file's first 64 bytes."""
    return checked(_HEADER.pack(magic, version, domain_id))


def domain_in(part: bytes, magic: bytes, version: int) -> DomainId:
    """The domain that a header names. Raises NotWhole, also for another magic; UnknownFormat for another version."""
    found_magic, found_version, domain_id = _HEADER.unpack(require_checked(part, HEADER_BYTES))
    if found_magic != magic:
        raise NotWhole
    if found_version != version:
        kind = magic.decode().lower()
        raise UnknownFormat(
            f"A file is of format {kind}/{found_version}, this program reads {kind}/{version}.",
            "use the version of soulpad that wrote it, or a newer one",
        )
    return DomainId(domain_id)


def checked(part: bytes) -> bytes:
    """``part`` followed by its check."""
    return part + check_of(part)


def check_of(part: bytes) -> bytes:
    """16 bytes."""
    return blake3(part).digest(length=CHECK_BYTES)


def require_checked(part: bytes, size: int) -> bytes:
    """``part``, of ``size`` bytes, without the check at its end, which must fit. Raises NotWhole."""
    content = part[: size - CHECK_BYTES]
    if len(part) != size or check_of(content) != part[size - CHECK_BYTES :]:
        raise NotWhole
    return content
