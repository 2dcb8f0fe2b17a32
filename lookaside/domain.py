"""A domain: those who share one key, and so share chunks. One user, one organisation, or one public base image.

The domain's key is 32 random bytes; keys for single uses are derived from it (BLAKE3 ``derive_key``, whose contexts are
below). The id of a chunk is keyed: who does not have the key cannot tell by the id whether somebody has a known file.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import NewType

from blake3 import blake3

from soulpad.base.secrets import Secret

ChunkId = NewType("ChunkId", bytes)  # 32 bytes: keyed BLAKE3 of the plaintext
DomainId = NewType("DomainId", bytes)  # 16 bytes: names a domain without telling its key

KEY_BYTES = 32
CHUNK_ID_BYTES = 32
DOMAIN_ID_BYTES = 16

_CHUNK_ID_CONTEXT = "soulpad lookaside 1: id of a chunk"
_PAGE_ID_CONTEXT = "soulpad lookaside 1: id of a memory page"
_BODY_CONTEXT = "soulpad lookaside 1: encryption of bodies"
_NAME_CONTEXT = "soulpad lookaside 1: public name of a domain"


class Domain:
    """The keys of one domain."""

    def __init__(self, key: Secret) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a domain's key has {KEY_BYTES} bytes")
        self._key = key

    @classmethod
    def new(cls) -> Domain:
        """A domain of its own, from the kernel's random numbers."""
        return cls(Secret(os.urandom(KEY_BYTES)))

    @property
    def key(self) -> Secret:
        """What must be kept to read the domain's chunks ever again."""
        return self._key

    @cached_property
    def public_id(self) -> DomainId:
        """The same for every holder of the key; tells nothing about it."""
        return DomainId(self._derived(_NAME_CONTEXT)[:DOMAIN_ID_BYTES])

    @cached_property
    def body_key(self) -> Secret:
        """The AES-256 key of all bodies."""
        return Secret(self._derived(_BODY_CONTEXT))

    def chunk_id(self, plaintext: bytes | memoryview) -> ChunkId:
        """The id of a chunk with this content."""
        return ChunkId(blake3(plaintext, key=self._chunk_id_key).digest())

    def page_id(self, page: bytes | memoryview) -> bytes:
        """16 bytes that name the content of a 4 KiB page; by another key than chunks', for local look-up alone."""
        return blake3(page, key=self._page_id_key).digest(length=16)

    @cached_property
    def _chunk_id_key(self) -> bytes:
        return self._derived(_CHUNK_ID_CONTEXT)

    @cached_property
    def _page_id_key(self) -> bytes:
        return self._derived(_PAGE_ID_CONTEXT)

    def _derived(self, context: str) -> bytes:
        return blake3(self._key.reveal(), derive_key_context=context).digest()
