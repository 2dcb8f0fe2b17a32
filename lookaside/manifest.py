"""Manifests: what a version of a parcel consists of, sealed. Numbers are little-endian.

    manifest = header | encoding u8 | zeros (7) | content bytes u64 | body (see sealing)
    header     64 bytes, see framing; the magic is "SOULMANI", the version 1
    content  = head bytes u32 | head | chunks u32 | chunk ids (32 each) | units of each chunk (LEB128)
               | extents of each image (see extentmap)
    head       JSON: "parcel", "sequence", "previous", "base", "documents" as in Manifest, and "images", a list of
               objects: "name", "bytes", "whole" as in ImageMap, and "map_bytes", of its extents

A version's name is the BLAKE3 of its manifest's bytes, in hex: whoever knows the name knows the version, all the way
down. A manifest is a difference against its ``base`` version's, or a keyframe that needs no other.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any, NewType

from blake3 import blake3

from lookaside.domain import CHUNK_ID_BYTES, ChunkId, Domain
from lookaside.errors import CorruptChunk, DamagedManifest, ForeignDomain
from lookaside.extentmap import Extent, decode_extents, encode_extents, number_at, put_number, units_of
from lookaside.framing import HEADER_BYTES, NotWhole, domain_in, header
from lookaside.sealing import Sealed, seal, unseal

VersionName = NewType("VersionName", str)  # 64 hex digits

MAGIC = b"SOULMANI"
VERSION = 1
PURPOSE = b"soulpad manifest 1"
LARGEST_CONTENT_BYTES = 1 << 30
MANIFEST_LEVEL = 9  # small, and fetched over slow links

_SEALED_HEAD = struct.Struct("<B7xQ")


@dataclass(frozen=True)
class ImageMap:
    """An image of a version: its name, its size in bytes, and its extents, whose chunk numbers count in the manifest's
    list. ``whole``: they are all of it; otherwise they replace parts of the base version's image of the same name."""

    name: str
    image_bytes: int
    whole: bool
    extents: tuple[Extent, ...]


@dataclass(frozen=True)
class Manifest:
    """``parcel``: its UUID. ``sequence``: how many versions came before. ``previous``: the version before, if any;
    ``base``: the one that this is a difference against (None: a keyframe). ``documents``: small files, by name.
    ``chunks``, ``chunk_units``: the ids and the sizes of those that ``images`` name."""

    parcel: str
    sequence: int
    previous: VersionName | None
    base: VersionName | None
    images: tuple[ImageMap, ...]
    chunks: tuple[ChunkId, ...] = ()
    chunk_units: tuple[int, ...] = ()
    documents: dict[str, str] = field(default_factory=dict)


def encode_manifest(domain: Domain, manifest: Manifest) -> bytes:
    """The bytes of a manifest; other ones each time, for the nonce is random."""
    content = encode_content(manifest)
    sealed = seal(domain.body_key, content, PURPOSE, MANIFEST_LEVEL)
    start = header(MAGIC, VERSION, domain.public_id)
    return start + _SEALED_HEAD.pack(sealed.encoding, len(content)) + sealed.body


def decode_manifest(domain: Domain, encoded: bytes) -> Manifest:
    """Raises DamagedManifest, ForeignDomain, UnknownFormat."""
    rest = encoded[HEADER_BYTES:]
    try:
        domain_id = domain_in(encoded[:HEADER_BYTES], MAGIC, VERSION)
    except NotWhole:
        raise damaged("its header is altered or cut short") from None
    if len(rest) < _SEALED_HEAD.size:
        raise damaged("it is cut short")
    if domain_id != domain.public_id:
        raise ForeignDomain("A version belongs to another key than this one.", "give the key that made the backup")
    encoding, content_bytes = _SEALED_HEAD.unpack_from(rest)
    if content_bytes > LARGEST_CONTENT_BYTES:
        raise damaged("it says that it is larger than any")
    try:
        content = unseal(domain.body_key, Sealed(encoding, rest[_SEALED_HEAD.size :]), PURPOSE, content_bytes)
    except CorruptChunk:
        raise damaged("it is altered or cut short") from None
    return decode_content(content)


def version_name(encoded: bytes) -> VersionName:
    """The name of the version that these bytes are the manifest of."""
    return VersionName(blake3(encoded).hexdigest())


def require_place(manifest: Manifest, parcel: str, sequence: int) -> Manifest:
    """The manifest, if it is of that parcel and has that number: an older one in its place, or another parcel's, is
    whole in itself. Raises DamagedManifest."""
    if (manifest.parcel, manifest.sequence) != (parcel, sequence):
        raise damaged(f"version {sequence} is another one's manifest, put in its place")
    return manifest


def encode_content(manifest: Manifest) -> bytes:
    """What is sealed."""
    maps = [encode_extents(image.extents) for image in manifest.images]
    images = [
        {"name": image.name, "bytes": image.image_bytes, "whole": image.whole, "map_bytes": len(encoded)}
        for image, encoded in zip(manifest.images, maps, strict=True)
    ]
    head = json.dumps(
        {
            "parcel": manifest.parcel,
            "sequence": manifest.sequence,
            "previous": manifest.previous,
            "base": manifest.base,
            "documents": manifest.documents,
            "images": images,
        }
    ).encode()
    sizes = bytearray()
    for units in manifest.chunk_units:
        put_number(sizes, units)
    count = len(manifest.chunks).to_bytes(4, "little")
    return b"".join([len(head).to_bytes(4, "little"), head, count, *manifest.chunks, sizes, *maps])


def decode_content(content: bytes) -> Manifest:
    """Raises DamagedManifest: only a bug in the program that wrote it, for altered bytes do not come so far."""
    try:
        return parse_content(content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
        raise damaged(f"it makes no sense ({type(error).__name__})") from None


def parse_content(content: bytes) -> Manifest:
    head_end = 4 + int.from_bytes(content[:4], "little")
    head = json.loads(content[4:head_end])
    count = int.from_bytes(content[head_end : head_end + 4], "little")
    ids_start, position = head_end + 4, head_end + 4 + count * CHUNK_ID_BYTES
    if position > len(content):
        raise ValueError
    chunks = tuple(ChunkId(content[at : at + CHUNK_ID_BYTES]) for at in range(ids_start, position, CHUNK_ID_BYTES))
    chunk_units = []
    for _ in chunks:
        units, position = number_at(content, position)
        chunk_units.append(units)
    images = []
    for fields in head["images"]:
        encoded = content[position : position + int(fields["map_bytes"])]
        images.append(parse_image(fields, encoded, chunk_units))
        position += len(encoded)
    if position != len(content):
        raise ValueError
    documents = {str(name): str(text) for name, text in head["documents"].items()}
    names = (head["previous"], head["base"])
    if not all(name is None or isinstance(name, str) for name in names):
        raise ValueError
    return Manifest(
        str(head["parcel"]), int(head["sequence"]), *names, tuple(images), chunks, tuple(chunk_units), documents
    )


def parse_image(fields: dict[str, Any], encoded: bytes, chunk_units: list[int]) -> ImageMap:
    size = int(fields["bytes"])
    extents = tuple(decode_extents(encoded, units_of(size), chunk_units))
    return ImageMap(str(fields["name"]), size, bool(fields["whole"]), extents)


def damaged(what: str) -> DamagedManifest:
    """The error for a manifest that is not whole."""
    return DamagedManifest(f"A version's manifest is damaged: {what}.", "use another copy of it, or an older version")
