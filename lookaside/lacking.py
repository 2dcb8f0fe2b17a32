"""What of a version is not there, and what is left of it then."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace

from lookaside.domain import ChunkId
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.manifest import Manifest
from lookaside.versions import Version, as_keyframe
from soulpad.base.spans import Span, union

LOST_DOCUMENT = "lost.json"

Lacking = dict[str, list[Span]]  # by image: the bytes, from a first to before a last


def lacking(version: Version, available: Collection[ChunkId]) -> Lacking:
    """The bytes of the version's images whose chunks are not among those."""
    missing = {number for number, chunk_id in enumerate(version.chunks) if chunk_id not in available}
    found = {
        name: union(
            (extent.start * UNIT_BYTES, min(extent.end * UNIT_BYTES, image.image_bytes))
            for extent in image.extents
            if extent.chunk in missing
        )
        for name, image in version.images.items()
    }
    return {name: spans for name, spans in found.items() if spans}


def without_lost(version: Version, available: Collection[ChunkId]) -> Manifest:
    """A keyframe of what is left: zeros where something is lacking, and a document ``lost.json`` that says where."""
    images = {
        name: replace(
            image,
            extents=tuple(
                extent for extent in image.extents if extent.chunk == ZEROS or version.chunks[extent.chunk] in available
            ),
        )
        for name, image in version.images.items()
    }
    manifest = as_keyframe(replace(version, images=images))
    documents = {**manifest.documents, LOST_DOCUMENT: json.dumps(lacking(version, available))}
    return replace(manifest, documents=documents)
