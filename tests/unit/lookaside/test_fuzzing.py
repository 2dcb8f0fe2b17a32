"""Every parser against bytes that nobody wrote: an error for a person or a sound result, and no memory for the asking.

``--fuzz-inputs 100000`` gives each of them so many. Bytes come at random, and as valid files with changes, whose checks
are put right: otherwise nothing would come past those.
"""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside import pack
from lookaside.errors import DamagedManifest
from lookaside.extentmap import ZEROS, decode_extents
from lookaside.framing import CHECK_BYTES, HEADER_BYTES, NotWhole, check_of, domain_in
from lookaside.manifest import Manifest, decode_content, decode_manifest, encode_content
from lookaside.outlines import read_head, read_page_ids
from lookaside.pageids import page_ids
from lookaside.sealing import Sealed, decoded, seal, unseal
from soulpad.base.errors import SoulpadError
from tests.formats.lookaside_samples import DOMAIN, MANIFEST, SAMPLES
from tests.unit.backup_parcels import ReadBytes

PACK, SEALED_MANIFEST = ((SAMPLES / name).read_bytes() for name in ("soulpack-1", "soulmani-1"))
T = TypeVar("T")
LARGEST_BYTES = 64 << 20  # what a parser may take for an input of some KB: far below what such an input may claim


@st.composite
def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with some overwritten, left out, doubled or added."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        content[start:end] = draw(st.one_of(st.binary(max_size=40), st.just(bytes(content[start:end]) * 2)))
    return bytes(content)


def inputs(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=300), changed(whole))


def bounded(parse: Callable[[], T]) -> T | None:
    """What a parser gives; None where it refuses with an error for a person."""
    tracemalloc.start()
    try:
        return parse()
    except SoulpadError as error:
        assert error.message
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < LARGEST_BYTES


def with_checks(content: bytes) -> bytes:
    """A pack's bytes with the checks of header, heads, table and footer put right."""
    part = bytearray(content)
    put_right(part, 0, HEADER_BYTES)
    at = part.find(b"CHNK")
    while 0 <= at <= len(part) - pack.HEAD_BYTES:
        put_right(part, at, pack.HEAD_BYTES)
        at = part.find(b"CHNK", at + pack.HEAD_BYTES)
    footer = len(part) - pack.FOOTER_BYTES
    if footer >= 0:
        start = int.from_bytes(part[footer + 16 : footer + 24], "little")
        part[-CHECK_BYTES:] = check_of(bytes(part[start:-CHECK_BYTES]))
    return bytes(part)


def put_right(part: bytearray, start: int, size: int) -> None:
    end = start + size
    if end <= len(part):
        part[end - CHECK_BYTES : end] = check_of(bytes(part[start : end - CHECK_BYTES]))


def require_sound(manifest: Manifest) -> None:
    assert len(manifest.chunks) == len(manifest.chunk_units)
    for image in manifest.images:
        for extent in image.extents:
            assert extent.units > 0 and extent.start >= 0
            assert extent.chunk == ZEROS or extent.chunk_offset + extent.units <= manifest.chunk_units[extent.chunk]


@given(inputs(PACK))
def test_fuzzed_header(content: bytes) -> None:
    try:
        found = bounded(lambda: domain_in(content[:HEADER_BYTES], b"SOULPACK", 1))
    except NotWhole:
        return
    assert found in (None, DOMAIN.public_id)


@pytest.mark.parametrize("repaired", [False, True])
@given(content=inputs(PACK))
def test_fuzzed_pack(repaired: bool, content: bytes) -> None:
    part = with_checks(content) if repaired else content
    for entry in bounded(lambda: pack.read_entries(io.BytesIO(part), len(part))) or []:
        body = part[entry.body_offset : entry.body_offset + entry.body_bytes]
        opened = bounded(lambda: pack.open_chunk(DOMAIN, entry, pack.require_body(entry, body)))  # noqa: B023
        assert opened is None or DOMAIN.chunk_id(opened) == entry.chunk_id


@given(inputs(PACK))
def test_fuzzed_pack_that_is_salvaged(content: bytes) -> None:
    found = bounded(lambda: list(pack.salvage_entries(io.BytesIO(with_checks(content)))))
    assert found is not None
    for entry, body in found:
        assert len(body) == entry.body_bytes


@given(inputs(SEALED_MANIFEST))
def test_fuzzed_manifest_is_the_right_one_or_refused(content: bytes) -> None:
    part = bytearray(content)
    put_right(part, 0, HEADER_BYTES)
    assert bounded(lambda: decode_manifest(DOMAIN, bytes(part))) in (None, MANIFEST)


@given(inputs(encode_content(MANIFEST)))
def test_fuzzed_content_of_a_manifest(content: bytes) -> None:
    if found := bounded(lambda: decode_content(content)):
        require_sound(found)


@given(inputs((SAMPLES / "extents-1").read_bytes()), st.integers(0, 1 << 40))
def test_fuzzed_extents(content: bytes, image_units: int) -> None:
    for extent in bounded(lambda: decode_extents(content, image_units, [3, 1, 1, 1])) or []:
        assert 0 <= extent.start < extent.end <= image_units


@given(inputs(seal(DOMAIN.body_key, b"some content " * 20, b"fuzz").body), st.integers(0, 3), st.integers(0, 1 << 60))
def test_fuzzed_body(content: bytes, encoding: int, content_bytes: int) -> None:
    assert bounded(lambda: unseal(DOMAIN.body_key, Sealed(encoding, content), b"fuzz", content_bytes)) is None


@given(inputs(b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello"), st.integers(0, 1 << 60))
def test_fuzzed_payload(content: bytes, content_bytes: int) -> None:
    found = bounded(lambda: decoded(content, 1, content_bytes))
    assert found is None or len(found) == content_bytes


@given(inputs((SAMPLES / "soulpage-1").read_bytes()), st.integers(0, 1 << 16))
def test_fuzzed_page_ids_are_taken_for_what_they_are_or_begin_anew(content: bytes, image_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids"
        path.write_bytes(content)
        with page_ids(path, DOMAIN, image_bytes) as (ids, _):
            assert len(ids.read(0, 1 << 20)) == ids.pages
            assert all(number < ids.pages for _, number in ids.find({1, 2, 3}))


@pytest.mark.parametrize("repaired", [False, True])
@given(content=inputs((SAMPLES / "souloutl-1").read_bytes()))
def test_fuzzed_outlines_give_page_ids_that_are_there_or_none(repaired: bool, content: bytes) -> None:
    part = bytearray(content)
    if repaired:
        put_right(part, 0, HEADER_BYTES)
        head_end = HEADER_BYTES + 16 + 36 * int.from_bytes(part[64:68], "little") + CHECK_BYTES
        put_right(part, HEADER_BYTES, head_end - HEADER_BYTES)
    image = ReadBytes(bytes(part))
    for outline in (bounded(lambda: read_head(DOMAIN, image, set(MANIFEST.chunks))) or {}).values():
        assert len(read_page_ids(image, outline)) == outline.units


def test_a_manifest_whose_content_claims_more_than_there_is_takes_no_memory() -> None:
    for claimed in (1 << 20, 1 << 31, (1 << 32) - 1):
        content = b"\x02\0\0\0{}" + claimed.to_bytes(4, "little")
        with pytest.raises(DamagedManifest):
            decode_content(content)
