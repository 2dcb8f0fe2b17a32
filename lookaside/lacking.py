"""What of a version is not there, and what is left of it then."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace

from lookaside.domain import ChunkId
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.manifest import Manifest
from lookaside.outlines import is_outlines
from lookaside.versions import Version, as_keyframe
from soulpad.base.spans import Span, union

LOST_DOCUMENT = "lost.json"

Lacking = dict[str, list[Span]]  # by image: the bytes, from a first to before a last


def lacking(version: Version, available: Collection[ChunkId]) -> Lacking:
    """The bytes of the version's images whose chunks are not among those. Of outlines nothing is told: nobody needs
    them."""
    missing = {number for number, chunk_id in enumerate(version.chunks) if chunk_id not in available}
    found = {
        name: union(
            (extent.start * UNIT_BYTES, min(extent.end * UNIT_BYTES, image.image_bytes))
            for extent in image.extents
            if extent.chunk in missing
        )
        for name, image in version.images.items()
        if not is_outlines(name)
    }
    return {name: spans for name, spans in found.items() if spans}


def lacks_outlines(version: Version, available: Collection[ChunkId]) -> bool:
    """Whether some of its outlines' chunks are not among those."""
    images = (image for name, image in version.images.items() if is_outlines(name))
    return any(version.chunks[extent.chunk] not in available for image in images for extent in image.extents)


def without_lost(version: Version, available: Collection[ChunkId]) -> Manifest:
    """A keyframe of what is left: zeros where something is lacking, and a document ``lost.json`` that says where.
    Outlines that lack something are left out."""
    images = {}
    for name, image in version.images.items():
        kept = tuple(
            extent for extent in image.extents if extent.chunk == ZEROS or version.chunks[extent.chunk] in available
        )
        if not is_outlines(name) or len(kept) == len(image.extents):
            images[name] = replace(image, extents=kept)
    manifest = as_keyframe(replace(version, images=images))
    documents = {**manifest.documents, LOST_DOCUMENT: json.dumps(lacking(version, available))}
    return replace(manifest, documents=documents)
