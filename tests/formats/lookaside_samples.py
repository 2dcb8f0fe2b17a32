"""The samples of what lookaside writes, and what they must mean for ever.

``python -m tests.formats.lookaside_samples`` writes those that are missing: bodies have random nonces, so a sample
is made once, when its format is.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from lookaside.domain import Domain
from lookaside.extentmap import ZEROS, Extent, encode_extents
from lookaside.manifest import ImageMap, Manifest, VersionName, encode_manifest
from lookaside.outlines import encoded_head, page_ids_of
from lookaside.pack import PackWriter, seal_chunk
from lookaside.pageids import ids_of, page_ids
from soulpad.base.secrets import Secret

SAMPLES = Path(__file__).resolve().parent / "lookaside"
DOMAIN = Domain(Secret(bytes(range(32))))
CONTENTS = [b"compressible " * 700, bytes(range(256)) * 2, b"\0" * 4096, b"x"]
CHUNK_UNITS = (3, 1, 1, 1)
EXTENTS = (Extent(0, 3, 0), Extent(3, 2, ZEROS), Extent(200, 1, 2), Extent(201, 1, 0, 2), Extent(300, 1, 1))
MANIFEST = Manifest(
    "6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b",
    7,
    VersionName("ab" * 32),
    VersionName("cd" * 32),
    (ImageMap("disk-0.img", 301 * 4096, False, EXTENTS), ImageMap("ram.img", 4096, True, (Extent(0, 1, 3),))),
    tuple(DOMAIN.chunk_id(content) for content in CONTENTS),
    CHUNK_UNITS,
    {"parcel.json": '{"name": "tülips"}'},
)
IMAGE = b"one".ljust(4096, b".") + bytes(4096) + b"two".ljust(4096, b".") + b"the end"


def pack() -> bytes:
    file = io.BytesIO()
    writer = PackWriter(file, DOMAIN.public_id)
    for content in CONTENTS:
        chunk_id = DOMAIN.chunk_id(content)
        writer.add(chunk_id, len(content), seal_chunk(DOMAIN, chunk_id, content))
    writer.finish()
    return file.getvalue()


def pages() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids"
        with page_ids(path, DOMAIN, len(IMAGE)) as (ids, _):
            ids.write(0, ids_of(DOMAIN, IMAGE))
        return path.read_bytes()


def outlines() -> bytes:
    head = encoded_head(DOMAIN, list(zip(MANIFEST.chunks, CHUNK_UNITS, strict=True)))
    return head + b"".join(page_ids_of(DOMAIN, content) for content in CONTENTS)


MADE = {
    "soulpack-1": pack,
    "soulmani-1": lambda: encode_manifest(DOMAIN, MANIFEST),
    "extents-1": lambda: encode_extents(EXTENTS),
    "soulpage-1": pages,
    "souloutl-1": outlines,
}


if __name__ == "__main__":
    for name, make in MADE.items():
        if not (SAMPLES / name).exists():
            (SAMPLES / name).write_bytes(make())
