"""Key slots: ways to the key of a repository's domain, each by a passphrase or a key file of its own.

    keys/NAME.json     NAME: 16 random hex digits
    "format"           "soulpad-key/1"
    "domain"           the domain's id in hex
    "kind"             "passphrase" or "key-file"
    "salt"             16 random bytes in hex
    "argon2id"         "memory_kib", "passes", "lanes"; null with a key file, which is random and needs no stretching
    "wrapped"          in hex: nonce (12 bytes) | AES-256-GCM of the domain's key | tag (16)
    "check"            in hex: the first 16 bytes of the BLAKE3 of all fields before it, as JSON without blanks

The wrapping key is Argon2id of the passphrase and the salt (RFC 9106), or BLAKE3 ``derive_key`` of salt and key file.
The fields before "wrapped", as JSON without blanks, are its associated data. The check tells a damaged slot from a
wrong passphrase. A slot of another domain is none: whoever lost a race to make the repository left it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from lookaside.domain import DOMAIN_ID_BYTES, KEY_BYTES, Domain, DomainId
from lookaside.errors import DamagedKeySlot
from lookaside.framing import check_of
from soulpad.base.errors import UnknownFormat
from soulpad.base.secrets import Secret

Kind = Literal["passphrase", "key-file"]

FORMAT = "soulpad-key/1"
SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
LARGEST_FILE_BYTES = 64 << 10
# What is believed of a file that anybody may have written: more would only exhaust the machine that reads it.
MOST_MEMORY_KIB, MOST_PASSES, MOST_LANES = 2 << 20, 64, 16

_KEY_FILE_CONTEXT = "soulpad lookaside 1: key slot opened by a key file"


@dataclass(frozen=True)
class Stretching:
    """What each guess at a passphrase costs. Fixed here, not by the machine at hand, and within a PC of 2 GiB."""

    memory_kib: int = 256 * 1024
    passes: int = 4
    lanes: int = 2


USUAL = Stretching()


@dataclass(frozen=True)
class KeySlot:
    """``stretching`` is None with a key file."""

    domain_id: DomainId
    kind: Kind
    salt: bytes
    stretching: Stretching | None
    wrapped: bytes = b""

    def encode(self) -> bytes:
        """The file's bytes."""
        fields = {**fields_of(self), "wrapped": self.wrapped.hex()}
        return (json.dumps(fields | {"check": check_of(compact(fields)).hex()}, indent=1) + "\n").encode()


def fields_of(slot: KeySlot) -> dict[str, Any]:
    """The fields before "wrapped"."""
    cost = slot.stretching
    return {
        "format": FORMAT,
        "domain": slot.domain_id.hex(),
        "kind": slot.kind,
        "salt": slot.salt.hex(),
        "argon2id": {"memory_kib": cost.memory_kib, "passes": cost.passes, "lanes": cost.lanes} if cost else None,
    }


def compact(fields: Mapping[str, Any]) -> bytes:
    """Fields as JSON without blanks."""
    return json.dumps(fields, separators=(",", ":")).encode()


def wrap(domain: Domain, secret: Secret, kind: Kind, stretching: Stretching | None = None) -> KeySlot:
    """A new slot that gives the domain's key to whoever has the secret."""
    cost = (stretching or USUAL) if kind == "passphrase" else None
    slot = KeySlot(domain.public_id, kind, os.urandom(SALT_BYTES), cost)
    nonce = os.urandom(NONCE_BYTES)
    cipher = AESGCM(wrapping_key(slot, secret))
    wrapped = nonce + cipher.encrypt(nonce, domain.key.reveal(), compact(fields_of(slot)))
    return KeySlot(slot.domain_id, slot.kind, slot.salt, slot.stretching, wrapped)


def unwrap(slot: KeySlot, secret: Secret) -> Domain | None:
    """The domain, or None if the slot opens with something else. Raises DamagedKeySlot for the key of another one."""
    nonce, ciphertext = slot.wrapped[:NONCE_BYTES], slot.wrapped[NONCE_BYTES:]
    try:
        key = AESGCM(wrapping_key(slot, secret)).decrypt(nonce, ciphertext, compact(fields_of(slot)))
    except InvalidTag:
        return None
    domain = Domain(Secret(key))
    if domain.public_id != slot.domain_id:
        raise damaged("it holds another domain's key")
    return domain


def wrapping_key(slot: KeySlot, secret: Secret) -> bytes:
    """The AES-256 key of a slot. Takes ``memory_kib`` of memory and about a second, or nothing with a key file."""
    cost = slot.stretching
    if cost is None:
        return blake3(slot.salt + secret.reveal(), derive_key_context=_KEY_FILE_CONTEXT).digest()
    argon2 = Argon2id(salt=slot.salt, length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    return argon2.derive(secret.reveal())


def decode(content: bytes) -> KeySlot:
    """The slot in a file. Raises DamagedKeySlot, UnknownFormat."""
    if len(content) > LARGEST_FILE_BYTES:
        raise damaged("it is larger than any")
    try:
        fields = json.loads(content)
        check = fields.pop("check")
        if fields["format"] != FORMAT:
            raise unknown(fields["format"])
        if check != check_of(compact(fields)).hex():
            raise damaged("it is altered")
        return slot_of(fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(f"it makes no sense ({type(error).__name__})") from None


def slot_of(fields: Mapping[str, Any]) -> KeySlot:
    """Raises DamagedKeySlot, or what a missing or mistyped field raises."""
    slot = KeySlot(
        DomainId(bytes.fromhex(fields["domain"])),
        cast(Kind, fields["kind"]),
        bytes.fromhex(fields["salt"]),
        stretching_of(fields["argon2id"]),
        bytes.fromhex(fields["wrapped"]),
    )
    sizes = (len(slot.domain_id), len(slot.salt), len(slot.wrapped))
    if slot.kind not in get_args(Kind) or (slot.kind == "passphrase") != (slot.stretching is not None):
        raise damaged("it does not say what opens it")
    if sizes != (DOMAIN_ID_BYTES, SALT_BYTES, NONCE_BYTES + KEY_BYTES + TAG_BYTES):
        raise damaged("a part of it has another size than it should")
    return slot


def stretching_of(fields: Mapping[str, Any] | None) -> Stretching | None:
    """Within the limits, or DamagedKeySlot."""
    if fields is None:
        return None
    numbers = fields["memory_kib"], fields["passes"], fields["lanes"]
    if not all(type(number) is int for number in numbers):
        raise damaged("it does not say what opening it takes")
    cost = Stretching(*numbers)
    sane = 1 <= cost.passes <= MOST_PASSES and 1 <= cost.lanes <= MOST_LANES
    if not sane or not 8 * cost.lanes <= cost.memory_kib <= MOST_MEMORY_KIB:
        raise damaged("opening it would take more than it may")
    return cost


def damaged(what: str) -> DamagedKeySlot:
    return DamagedKeySlot(f"A key slot is damaged: {what}.", "another key slot, or another copy of keys/, opens it too")


def unknown(found: object) -> UnknownFormat:
    return UnknownFormat(
        f"A key slot is of format {str(found)[:40]!r}, this program reads {FORMAT!r}.", "use a newer soulpad"
    )
