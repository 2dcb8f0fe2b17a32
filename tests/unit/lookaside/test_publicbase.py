"""Public bases: a private version finds its base's chunks on a public medium; a wrong note harms nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.assembling import assemble
from lookaside.domain import ChunkId, Domain
from lookaside.errors import DamagedManifest, SourceUnusable
from lookaside.manifest import VersionName
from lookaside.media.bases import bases_on
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.places import sources_of
from lookaside.publicbase import (
    DOCUMENT,
    FromPublicBase,
    NotingDomain,
    PublicBase,
    in_order,
    parse_note,
    public_ids,
    runs_of,
)
from lookaside.publickey import (
    NOTICE,
    PUBLIC_KEY_FILE,
    decode_public_key,
    encode_public_key,
    public_domain_of,
)
from lookaside.repository import Repository
from lookaside.source import FirstOf
from lookaside.versions import Version, as_keyframe, resolved
from soulpad.base.errors import UnknownFormat
from tests.unit.test_docs import named, page, section

from .notes import note_of
from .scene import CHUNKS, CONTENT, NOISE, Scene, noise, scene, stored
from .servers import client_of, serving
from .shelves import DOMAIN

PUBLIC = public_domain_of(bytes(32))
CHANGED = b"".join([noise(50, len(NOISE[0])), *[CONTENT[len(NOISE[0]) :]]])  # its first chunk is another


@pytest.fixture
def medium(tmp_path: Path) -> Scene:
    """A public medium with CONTENT as its base."""
    there = scene(tmp_path / "medium", PUBLIC)
    (there.root / PUBLIC_KEY_FILE).write_bytes(encode_public_key(PUBLIC))
    return there


def shelf_of(there: Scene) -> Shelf:
    return Shelf(FolderTree(there.root))


def noted(medium: Scene, folder: Path, content: bytes) -> tuple[Scene, Version]:
    """A private version of ``content`` that carries a note of the medium's base."""
    (base,) = bases_on(shelf_of(medium))
    folder.mkdir()
    repository = Repository.create(folder / "repository", DOMAIN)
    domain = NotingDomain(DOMAIN.key, base)
    name = stored(repository, content, folder / "image", domain)
    version = resolved(name, repository.manifest)
    documents = {DOCUMENT: note_of(in_order(version), domain.noted, base)}
    version = replace(version, manifest=replace(version.manifest, documents=documents))
    return Scene(repository, version, folder), version


def test_a_version_that_is_the_base_comes_from_the_medium_alone(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    assert private.assembled(sources_of([shelf_of(medium)], DOMAIN, version)) == CONTENT


def test_only_what_was_changed_comes_from_the_repository(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CHANGED)
    everything = FirstOf([*sources_of([shelf_of(medium)], DOMAIN, version), private.repository])
    image = version.images["disk-0.img"]
    assemble(tmp_path / "out", image.image_bytes, image.extents, version.chunks, everything)
    assert (tmp_path / "out").read_bytes() == CHANGED
    # the first chunk is new; the other place of the base's first one still is the base's
    assert everything.tallies[private.repository.name].chunks == 1
    assert everything.tallies[f"{medium.root} (public base)"].chunks == CHUNKS


def test_a_jukebox_with_the_base_serves_a_private_version(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    with serving(medium.root) as server:
        assert private.assembled(sources_of([client_of(server)], DOMAIN, version)) == CONTENT


def test_a_medium_of_another_base_helps_nobody_and_harms_nobody(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    other = scene(tmp_path / "other", public_domain_of(bytes(31) + b"\1"), CHANGED)
    assert private.assembled(sources_of([shelf_of(other)], DOMAIN, version)) is None
    assert private.assembled([*sources_of([shelf_of(other)], DOMAIN, version), private.repository]) == CONTENT


def test_a_later_base_of_the_same_domain_serves_what_is_the_same(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    later = scene(tmp_path / "later", PUBLIC, CHANGED)
    sources = sources_of([shelf_of(medium)], DOMAIN, version)
    by_note = next(source for source in sources if isinstance(source, FromPublicBase))
    elsewhere = replace(by_note, sealed=shelf_of(later))
    given_there = list(elsewhere.get_many(version.chunks))
    assert len(given_there) == CHUNKS
    assert private.assembled([elsewhere]) == CONTENT


def test_a_note_that_is_wrong_never_makes_the_result_wrong(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    (base,) = bases_on(shelf_of(medium))
    right = public_ids(in_order(version), parse_note(version.manifest.documents[DOCUMENT]), base)
    turned = dict(zip(right, [*list(right.values())[1:], next(iter(right.values()))], strict=True))
    lying = FromPublicBase(shelf_of(medium), PUBLIC, DOMAIN, turned)
    everything = FirstOf([lying, private.repository])
    assert [everything.get(chunk_id) for chunk_id in version.chunks] == [
        private.repository.get(chunk_id) for chunk_id in version.chunks
    ]
    assert everything.tallies[lying.name].corrupt == CHUNKS


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"format": "soulpad-public-base/2"}', '{"format":"soulpad-public-base/1"}', "[" * 50_000],
)
def test_a_note_that_makes_no_sense_is_done_without(medium: Scene, tmp_path: Path, text: str) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    version = replace(version, manifest=replace(version.manifest, documents={DOCUMENT: text}))
    assert private.assembled([*sources_of([shelf_of(medium)], DOMAIN, version), private.repository]) == CONTENT
    with pytest.raises(DamagedManifest):
        parse_note(text)


def test_a_note_stays_true_when_the_version_is_made_a_keyframe(medium: Scene, tmp_path: Path) -> None:
    _, version = noted(medium, tmp_path / "private", CHANGED)
    keyframe = as_keyframe(version)
    again = resolved(version.name, lambda _name: keyframe)
    (base,) = bases_on(shelf_of(medium))
    note = parse_note(keyframe.documents[DOCUMENT])
    assert public_ids(in_order(again), note, base) == public_ids(in_order(version), note, base)
    assert len(public_ids(in_order(again), note, base)) == CHUNKS


def test_a_note_is_short_where_little_was_changed() -> None:
    base = PublicBase(PUBLIC, VersionName("0" * 64), tuple(PUBLIC.chunk_id(b"%d" % number) for number in range(10_000)))
    own = [DOMAIN.chunk_id(b"%d" % number) for number in range(10_000)]
    public = dict(zip(own, base.chunks, strict=True))
    del public[own[5000]]
    assert len(note_of(own, public, base)) < 400


@given(st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=30))
def test_runs_say_what_they_were_made_from(numbers: list[int | None]) -> None:
    base = PublicBase(PUBLIC, VersionName(""), tuple(ChunkId(bytes([number])) for number in range(13)))
    own = [ChunkId(b"own%d" % number) for number in range(len(numbers))]
    public = {one: base.chunks[number] for one, number in zip(own, numbers, strict=True) if number is not None}
    assert public_ids(own, parse_note(note_of(own, public, base)), base) == public
    assert sum(count for _, count, _ in runs_of(numbers)) == len(public)


def test_a_base_whose_manifest_was_altered_is_not_used(medium: Scene, tmp_path: Path) -> None:
    private, version = noted(medium, tmp_path / "private", CONTENT)
    path = medium.repository.path("manifests", medium.version.name)
    altered = bytearray(path.read_bytes())
    altered[-1] ^= 1
    path.write_bytes(altered)
    with pytest.raises(DamagedManifest, match="altered"):
        bases_on(shelf_of(medium))
    assert private.assembled([*sources_of([shelf_of(medium)], DOMAIN, version), private.repository]) == CONTENT


# --- the public key


def test_two_who_press_one_image_have_one_domain() -> None:
    assert public_domain_of(bytes(32)).public_id == PUBLIC.public_id
    assert public_domain_of(bytes(31) + b"\1").public_id != PUBLIC.public_id


def test_the_key_file_says_aloud_that_it_is_public() -> None:
    content = encode_public_key(PUBLIC)
    assert NOTICE in json.loads(content)["notice"]
    assert decode_public_key(content).public_id == PUBLIC.public_id


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": "soulpad-public-key/1", "domain_key": "00"}', b"\xff"])
def test_a_key_file_that_makes_no_sense_is_said(content: bytes) -> None:
    with pytest.raises(SourceUnusable):
        decode_public_key(content)


def test_a_key_file_of_another_format_is_refused() -> None:
    with pytest.raises(UnknownFormat):
        decode_public_key(encode_public_key(PUBLIC).replace(b"key/1", b"key/2"))


def test_the_page_describes_exactly_the_fields_that_are_written() -> None:
    text = page("formats/public-base.md")
    base = PublicBase(PUBLIC, VersionName(""), ())
    assert named(section(text, "## soulpad-public-key.json")) == set(json.loads(encode_public_key(PUBLIC)))
    assert named(section(text, "## The document public-base")) == set(json.loads(note_of([], {}, base)))


def test_noting_names_chunks_as_ever() -> None:
    base = PublicBase(PUBLIC, VersionName(""), (PUBLIC.chunk_id(b"base's"),))
    domain = NotingDomain(DOMAIN.key, base)
    assert domain.chunk_id(b"base's") == Domain(DOMAIN.key).chunk_id(b"base's")
    domain.chunk_id(b"mine")
    assert domain.noted == {DOMAIN.chunk_id(b"base's"): base.chunks[0]}
