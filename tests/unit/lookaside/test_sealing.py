"""Bodies: whatever is changed in them is noticed, and their sizes tell little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside import sealing
from lookaside.errors import CorruptChunk
from lookaside.sealing import Sealed, padded_bytes, seal, unseal
from soulpad.base.secrets import Secret

KEY = Secret(bytes(range(32)))
PURPOSE = b"a test"


@given(st.binary(min_size=1, max_size=5000))
def test_what_was_sealed_comes_back(content: bytes) -> None:
    assert unseal(KEY, seal(KEY, content, PURPOSE), PURPOSE, len(content)) == content


def test_content_that_compresses_is_compressed_and_other_content_is_not() -> None:
    zeros = seal(KEY, bytes(100_000), PURPOSE)
    assert zeros.encoding == sealing.ZSTD and len(zeros.body) < 200
    noise = seal(KEY, b"\x93", PURPOSE)
    assert noise.encoding == sealing.PLAIN


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_changed_byte_is_noticed(content: bytes, data: st.DataObject) -> None:
    sealed = seal(KEY, content, PURPOSE)
    at = data.draw(st.integers(0, len(sealed.body) - 1))
    changed = bytearray(sealed.body)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptChunk):
        unseal(KEY, Sealed(sealed.encoding, bytes(changed)), PURPOSE, len(content))


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_body_that_is_cut_short_is_noticed(content: bytes, data: st.DataObject) -> None:
    sealed = seal(KEY, content, PURPOSE)
    kept = data.draw(st.integers(0, len(sealed.body) - 1))
    with pytest.raises(CorruptChunk):
        unseal(KEY, Sealed(sealed.encoding, sealed.body[:kept]), PURPOSE, len(content))


@pytest.mark.parametrize(
    ("key", "encoding", "purpose", "size"),
    [
        (Secret(bytes(32)), sealing.ZSTD, PURPOSE, 1000),
        (KEY, sealing.PLAIN, PURPOSE, 1000),
        (KEY, sealing.ZSTD, b"another", 1000),
        (KEY, sealing.ZSTD, PURPOSE, 999),
    ],
    ids=["key", "encoding", "purpose", "size"],
)
def test_a_body_fits_one_key_encoding_purpose_and_size_only(
    key: Secret, encoding: int, purpose: bytes, size: int
) -> None:
    sealed = seal(KEY, bytes(1000), PURPOSE)
    with pytest.raises(CorruptChunk):
        unseal(key, Sealed(encoding, sealed.body), purpose, size)


def test_a_frame_that_would_unpack_to_more_than_was_said_is_not_unpacked() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    with pytest.raises(CorruptChunk):
        sealing.decoded(bomb, sealing.ZSTD, 1000)
    no_size = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(CorruptChunk):
        sealing.decoded(no_size, sealing.ZSTD, 1000)


def test_an_encoding_of_the_future_is_refused() -> None:
    with pytest.raises(CorruptChunk, match="encoding 7"):
        sealing.decoded(b"x", 7, 1)


@given(st.integers(2, 1 << 40))
def test_padding_costs_an_eighth_at_most_and_leaves_few_sizes(count: int) -> None:
    padded = padded_bytes(count)
    assert count <= padded <= count * 1.125
    assert padded_bytes(padded) == padded
    exponent = count.bit_length() - 1
    assert padded % (1 << (exponent - exponent.bit_length())) == 0


def test_a_nonce_is_not_used_twice() -> None:
    bodies = {seal(KEY, b"the same", PURPOSE).body[: sealing.NONCE_BYTES] for _ in range(1000)}
    assert len(bodies) == 1000
