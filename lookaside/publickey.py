"""The key of a public domain: a file that lies beside its packs, for everybody to read.

    soulpad-public-key.json   "format": "soulpad-public-key/1", "notice": that this is no secret, "domain_key": in hex

A base image that many people have is sealed like everything else, so that one way of reading does for all; but who has
the medium has the key. What is private must never be stored in such a domain.
"""

from __future__ import annotations

import json

from blake3 import blake3

from lookaside.domain import KEY_BYTES, Domain
from lookaside.errors import SourceUnusable
from soulpad.base.errors import UnknownFormat
from soulpad.base.secrets import Secret

PUBLIC_KEY_FILE = "soulpad-public-key.json"
FORMAT = "soulpad-public-key/1"
NOTICE = "THIS KEY IS PUBLIC. It opens the chunks beside it for everybody. Never keep anything private with it."

_CONTEXT = "soulpad lookaside 1: key of a public base image"


def public_domain_of(image_digest: bytes) -> Domain:
    """The domain of a base image with this BLAKE3: the same for all who make a medium of it."""
    return Domain(Secret(blake3(image_digest, derive_key_context=_CONTEXT).digest()))


def encode_public_key(domain: Domain) -> bytes:
    """The file's content."""
    fields = {"format": FORMAT, "notice": NOTICE, "domain_key": domain.key.reveal().hex()}
    return (json.dumps(fields, indent=1) + "\n").encode()


def decode_public_key(content: bytes) -> Domain:
    """The domain that the file opens. Raises SourceUnusable, UnknownFormat."""
    try:
        fields = json.loads(content)
        found, key = fields["format"], bytes.fromhex(fields["domain_key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SourceUnusable(f"{PUBLIC_KEY_FILE} makes no sense.", "use another copy of the medium") from None
    if found != FORMAT:
        raise UnknownFormat(f"{PUBLIC_KEY_FILE} is of format {str(found)[:40]!r}.", "use a newer soulpad")
    if len(key) != KEY_BYTES:
        raise SourceUnusable(f"{PUBLIC_KEY_FILE} holds no key.", "use another copy of the medium")
    return Domain(Secret(key))
