"""Packs: whole ones give what was put in, others are refused, and what is whole in them can be saved."""

import io
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookaside import pack
from lookaside.domain import ChunkId, Domain
from lookaside.errors import CorruptChunk, DamagedPack
from lookaside.framing import header
from soulpad.base.errors import SoulpadError, UnknownFormat
from soulpad.base.secrets import Secret

DOMAIN = Domain(Secret(bytes(range(32))))
CONTENTS = [b"first " * 50, b"\0" * 4096, bytes(range(256)) * 3]


def packed(contents: list[bytes], domain: Domain = DOMAIN) -> bytes:
    file = io.BytesIO()
    writer = pack.PackWriter(file, domain.public_id)
    for content in contents:
        chunk_id = domain.chunk_id(content)
        writer.add(chunk_id, len(content), pack.seal_chunk(domain, chunk_id, content))
    name = writer.finish()
    assert pack.name_of([file.getvalue()]) == name
    assert writer.bytes_written == len(file.getvalue())
    return file.getvalue()


def contents_of(encoded: bytes, domain: Domain = DOMAIN) -> list[bytes]:
    entries = pack.read_entries(io.BytesIO(encoded), len(encoded))
    bodies = [encoded[entry.body_offset : entry.body_offset + entry.body_bytes] for entry in entries]
    return [
        pack.open_chunk(domain, entry, pack.require_body(entry, body))
        for entry, body in zip(entries, bodies, strict=True)
    ]


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=6))
def test_a_pack_gives_what_was_put_in(contents: list[bytes]) -> None:
    assert contents_of(packed(contents)) == contents


@settings(max_examples=400)
@given(st.data())
def test_a_pack_with_a_changed_byte_has_another_name_and_gives_no_wrong_chunk(data: st.DataObject) -> None:
    whole = packed(CONTENTS)
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert pack.name_of([bytes(changed)]) != pack.name_of([whole])
    with suppress(SoulpadError):
        assert contents_of(bytes(changed)) == CONTENTS  # heads before bodies are not looked at: the table has them


@given(st.integers(0, 2000))
def test_a_pack_that_is_cut_short_is_refused(missing: int) -> None:
    whole = packed(CONTENTS)
    cut = whole[: max(0, len(whole) - 1 - missing)]
    with pytest.raises(DamagedPack):
        pack.read_entries(io.BytesIO(cut), len(cut))


@pytest.mark.parametrize("damage", [lambda p: p[:-200], lambda p: b"\0" * 64 + p[64:], lambda p: p[:900]])
def test_what_is_whole_in_a_damaged_pack_is_saved(damage: Callable[[bytes], bytes]) -> None:
    contents = [bytes([number]) * 5000 + bytes(range(number, 256)) for number in range(1, 6)]
    saved = [
        pack.open_chunk(DOMAIN, entry, body)
        for entry, body in pack.salvage_entries(io.BytesIO(damage(packed(contents))))
    ]
    assert saved == contents[: len(saved)] and saved


def test_a_damaged_chunk_hides_none_of_the_others() -> None:
    whole = bytearray(packed(CONTENTS))
    first = pack.read_entries(io.BytesIO(whole), len(whole))[0]
    for at in (first.body_offset + 20, first.body_offset - 80):  # in its body, and in its head
        damaged = bytes(whole[:at]) + bytes([whole[at] ^ 1]) + bytes(whole[at + 1 :])
        saved = [pack.open_chunk(DOMAIN, entry, body) for entry, body in pack.salvage_entries(io.BytesIO(damaged))]
        assert saved == CONTENTS[1:]


def test_a_chunk_in_the_place_of_another_is_noticed() -> None:
    encoded = packed(CONTENTS)
    first, second, _ = pack.read_entries(io.BytesIO(encoded), len(encoded))
    body = encoded[second.body_offset : second.body_offset + second.body_bytes]
    with pytest.raises(CorruptChunk):
        pack.require_body(first, body)
    with pytest.raises(CorruptChunk):
        pack.open_chunk(DOMAIN, first, body)


def test_a_chunk_that_lies_about_its_content_is_noticed() -> None:
    claimed = DOMAIN.chunk_id(b"what it should be")
    sealed = pack.seal_chunk(DOMAIN, claimed, b"what it really is")
    entry = pack.Entry(claimed, sealed.encoding, 17, 0, len(sealed.body), b"")
    with pytest.raises(CorruptChunk):
        pack.open_chunk(DOMAIN, entry, sealed.body)


def test_a_pack_names_its_domain_and_hides_its_key() -> None:
    encoded = packed(CONTENTS)
    assert pack.domain_of(io.BytesIO(encoded)) == DOMAIN.public_id
    assert DOMAIN.key.reveal()[:16] not in encoded
    assert Domain.new().public_id != DOMAIN.public_id


def test_a_pack_of_the_future_is_refused() -> None:
    encoded = packed(CONTENTS)
    future = header(pack.MAGIC, 2, DOMAIN.public_id) + encoded[64:]
    with pytest.raises(UnknownFormat, match="soulpack/2"):
        pack.read_entries(io.BytesIO(future), len(future))


@pytest.mark.parametrize("content_bytes", [0, pack.LARGEST_CONTENT_BYTES + 1])
def test_a_head_with_a_size_that_no_chunk_has_is_refused(content_bytes: int) -> None:
    entry = pack.Entry(ChunkId(bytes(32)), 0, content_bytes, 96, 100, bytes(32))
    with pytest.raises(DamagedPack):
        pack.entry_of_head(entry.head(), 0)
