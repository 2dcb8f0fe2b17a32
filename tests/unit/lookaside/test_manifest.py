"""Manifests: what comes back from their bytes, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookaside import manifest
from lookaside.domain import ChunkId, Domain
from lookaside.errors import DamagedManifest, ForeignDomain
from lookaside.extentmap import ZEROS, Extent
from lookaside.framing import header
from lookaside.manifest import ImageMap, Manifest, VersionName, decode_manifest, encode_manifest, version_name
from soulpad.base.errors import UnknownFormat
from soulpad.base.secrets import Secret

DOMAIN = Domain(Secret(bytes(range(32))))
DISK = ImageMap("disk-0.img", 40 * 4096 + 100, False, (Extent(0, 32, 0), Extent(32, 4, ZEROS), Extent(40, 1, 1)))
RAM = ImageMap("ram.img", 8 * 4096, True, (Extent(2, 1, 0, 17), Extent(5, 2, 0, 3)))
WHOLE = Manifest(
    "6f1a5f6e-1d0e-4d6c-9f5a-1c2d3e4f5a6b",
    7,
    VersionName("ab" * 32),
    VersionName("cd" * 32),
    (DISK, RAM),
    (ChunkId(b"\1" * 32), ChunkId(b"\2" * 32)),
    (32, 1),
    {"parcel.json": '{"name": "tülips"}'},
)


def test_a_manifest_comes_back_from_its_bytes() -> None:
    assert decode_manifest(DOMAIN, encode_manifest(DOMAIN, WHOLE)) == WHOLE


def test_a_keyframe_names_no_other_version() -> None:
    first = replace(WHOLE, sequence=0, previous=None, base=None)
    assert decode_manifest(DOMAIN, encode_manifest(DOMAIN, first)) == first


@settings(max_examples=300)
@given(st.data())
def test_a_changed_byte_is_noticed_and_gives_another_name(data: st.DataObject) -> None:
    whole = encode_manifest(DOMAIN, WHOLE)
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert version_name(bytes(changed)) != version_name(whole)
    with pytest.raises(DamagedManifest):
        if decode_manifest(DOMAIN, bytes(changed)) == WHOLE:  # one of the zeros that nobody reads
            raise DamagedManifest("the name tells it")


@given(st.integers(0, 400))
def test_a_manifest_that_is_cut_short_is_refused(kept: int) -> None:
    whole = encode_manifest(DOMAIN, WHOLE)
    with pytest.raises(DamagedManifest):
        decode_manifest(DOMAIN, whole[: min(kept, len(whole) - 1)])


def test_another_domains_manifest_is_said_to_be_so() -> None:
    with pytest.raises(ForeignDomain):
        decode_manifest(Domain.new(), encode_manifest(DOMAIN, WHOLE))


def test_a_manifest_of_the_future_is_refused() -> None:
    future = header(manifest.MAGIC, 2, DOMAIN.public_id) + encode_manifest(DOMAIN, WHOLE)[64:]
    with pytest.raises(UnknownFormat, match="soulmani/2"):
        decode_manifest(DOMAIN, future)


def test_a_manifest_that_claims_to_be_huge_is_refused_before_memory_is_taken() -> None:
    whole = encode_manifest(DOMAIN, WHOLE)
    huge = whole[:72] + (1 << 60).to_bytes(8, "little") + whole[80:]
    with pytest.raises(DamagedManifest, match="larger"):
        decode_manifest(DOMAIN, huge)


@given(st.binary(max_size=200))
def test_any_content_is_a_manifest_or_refused(content: bytes) -> None:
    with pytest.raises(DamagedManifest):
        manifest.decode_content(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x02\0\0\0{}\0\0\0\0",
        b"\x02\0\0\0{}\xff\xff\xff\xff",
        b"\x04\0\0\0null\0\0\0\0",
        b"\xff\xff\xff\xff{}",
    ],
)
def test_content_that_makes_no_sense_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedManifest):
        manifest.decode_content(content)


def test_no_name_of_the_parcel_can_be_read_without_the_key() -> None:
    encoded = encode_manifest(DOMAIN, WHOLE)
    assert WHOLE.parcel.encode() not in encoded and b"parcel.json" not in encoded
