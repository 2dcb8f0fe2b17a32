"""A client of jukeboxes that hang, lie, or never end: each ends soon, with an error or with what is whole."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk, SourceUnusable
from lookaside.jukebox.protocol import MOST_IDS, ROOT, parse_ids, parse_info, parse_path, parse_range
from lookaside.pack import seal_chunk
from lookaside.sealed import Opened, SealedChunk

from .scene import CHUNKS, CONTENT, NOISE, OTHER_DOMAIN, Scene, scene
from .servers import (
    LONG_SECONDS,
    SHORT_SECONDS,
    Behaviour,
    answering,
    behaving,
    client_of,
    dripping,
    endless,
    endless_headers,
    endless_in_order,
    garbage,
    hanging,
    hanging_in_the_answer,
    hanging_up,
    moved,
    refusing,
    serving,
)
from .shelves import DOMAIN


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "scene")


def sealed_chunks(here: Scene) -> list[SealedChunk]:
    with serving(here.root) as server:
        found = [chunk for _, chunk in client_of(server).find(here.version.chunks)]
    return [chunk for chunk in found if isinstance(chunk, SealedChunk)]


BAD: dict[str, tuple[Behaviour, str]] = {
    "hangs": (hanging, "in time"),
    "hangs in the answer": (hanging_in_the_answer, "in time"),
    "drips": (dripping, "in time"),
    "answers without end": (endless, "without an end"),
    "answers without end, in good order": (endless_in_order, "garbage"),
    "has headers without end": (endless_headers, "breaks off"),
    "answers garbage": (garbage, "breaks off|garbage"),
    "hangs up": (hanging_up, "breaks off"),
    "is busy": (refusing, "503"),
    "sends elsewhere": (moved, "302"),
    "answers half a head": (answering(b"CHNK"), "garbage"),
    "breaks off": (answering(bytes(500), cut=490), "breaks off|garbage"),
}


def patience_for(name: str) -> float:
    """Little with those that would take it all."""
    return SHORT_SECONDS if BAD[name][1] == "in time" else LONG_SECONDS


@pytest.mark.parametrize("name", BAD)
def test_a_jukebox_that_behaves_badly_is_given_up_and_the_rest_comes_from_elsewhere(here: Scene, name: str) -> None:
    behaviour, complaint = BAD[name]
    with behaving(behaviour, patience_for(name)) as client:
        with pytest.raises(SourceUnusable) as caught:
            list(client.find(here.version.chunks))
        assert re.search(complaint, caught.value.message)
        assert here.assembled([Opened(client, DOMAIN)]) is None
        assert here.assembled([Opened(client, DOMAIN), here.repository]) == CONTENT


@pytest.mark.parametrize("name", BAD)
def test_what_it_says_of_itself_is_not_waited_for_either(name: str) -> None:
    with behaving(BAD[name][0], patience_for(name)) as client, pytest.raises(SourceUnusable):
        client.info()


def test_what_came_whole_before_it_broke_off_is_used(here: Scene) -> None:
    whole = b"".join(chunk.encoded() for chunk in sealed_chunks(here))
    with behaving(answering(whole, cut=1)) as client:
        found = client.find(here.version.chunks)
        assert len([next(found) for _ in range(CHUNKS - 1)]) == CHUNKS - 1
        with pytest.raises(SourceUnusable):
            next(found)
        assert here.assembled([Opened(client, DOMAIN), here.repository]) == CONTENT


def test_a_different_chunk_than_asked_for_is_not_taken(here: Scene) -> None:
    first, second, *_ = sealed_chunks(here)
    with behaving(answering(first.encoded())) as client, pytest.raises(SourceUnusable, match="not asked for"):
        list(client.find([second.entry.chunk_id]))


def test_a_chunk_that_comes_twice_is_not_taken_twice(here: Scene) -> None:
    encoded = sealed_chunks(here)[0].encoded()
    with behaving(answering(encoded * 2)) as client, pytest.raises(SourceUnusable, match="not asked for"):
        list(client.find(here.version.chunks))


def test_a_body_that_is_another_chunks_is_found_out_by_the_key(here: Scene) -> None:
    """Head and body fit together, so that only the key tells."""
    first, second, *_ = sealed_chunks(here)
    body = second.body.ljust(len(first.body), b"\0")[: len(first.body)]
    forged = forged_chunk(first, body)
    with behaving(answering(forged.encoded())) as client:
        ((_, found),) = list(Opened(client, DOMAIN).get_many([first.entry.chunk_id]))
        assert isinstance(found, CorruptChunk)
        assert here.assembled([Opened(client, DOMAIN), here.repository]) == CONTENT


def test_a_right_id_sealed_with_another_key_is_found_out(here: Scene) -> None:
    first = sealed_chunks(here)[0]
    forged = forged_chunk(first, seal_chunk(OTHER_DOMAIN, first.entry.chunk_id, NOISE[5]).body)
    with behaving(answering(forged.encoded())) as client:
        assert here.assembled([Opened(client, DOMAIN)]) is None


def test_other_content_under_a_right_id_is_found_out_even_from_who_has_the_key(here: Scene) -> None:
    first = sealed_chunks(here)[0]
    sealed = seal_chunk(DOMAIN, first.entry.chunk_id, NOISE[5])
    forged = forged_chunk(first, sealed.body, sealed.encoding)
    with behaving(answering(forged.encoded())) as client:
        ((_, found),) = list(Opened(client, DOMAIN).get_many([first.entry.chunk_id]))
        assert isinstance(found, CorruptChunk)
        assert "another one's content" in found.message


def forged_chunk(chunk: SealedChunk, body: bytes, encoding: int | None = None) -> SealedChunk:
    """The chunk with another body, its head made to fit."""
    encoding = chunk.entry.encoding if encoding is None else encoding
    entry = replace(chunk.entry, encoding=encoding, body_bytes=len(body), body_digest=blake3(body).digest())
    return SealedChunk(entry, body)


@settings(max_examples=30)  # each is a server of its own
@given(st.binary(max_size=3000))
def test_no_answer_makes_a_client_fail_otherwise_than_it_should(content: bytes) -> None:
    with behaving(answering(content)) as client, suppress(SourceUnusable):
        assert list(client.find([ChunkId(bytes(32))])) == []


@given(st.binary(max_size=200), st.text(max_size=200))
def test_the_protocols_parsers_take_anything(body: bytes, text: str) -> None:
    for path in (text, ROOT + text, f"{ROOT}/packs/{text}"):
        asked = parse_path(path)
        assert asked is None or asked.kind == "info" or asked.name == "" or "/" not in asked.name
    ids = parse_ids(body)
    assert ids is None or (0 < len(ids) <= MOST_IDS and all(len(one) == 32 for one in ids))
    with suppress(SourceUnusable):
        parse_info(body, "here")


@given(
    st.one_of(st.none(), st.text(max_size=30), st.from_regex(r"bytes=\d{0,19}-\d{0,19}", fullmatch=True)),
    st.integers(0, 1 << 40),
)
def test_a_range_is_within_the_file_or_none(text: str | None, file_bytes: int) -> None:
    span = parse_range(text, file_bytes)
    assert span is None or 0 <= span[0] < span[1] <= file_bytes or span == (0, file_bytes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": "soulpad-jukebox/2", "name": "", "chunks": 0}',
        b"[" * 100_000,
        b'{"chunks": 1e999, "format": 1, "name": 2}',
    ],
)
def test_what_is_no_jukebox_is_said(body: bytes) -> None:
    with pytest.raises(SourceUnusable, match=r"no jukebox|speaks"):
        parse_info(body, "here")
