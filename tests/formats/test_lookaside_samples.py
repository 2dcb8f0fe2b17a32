"""Packs, manifests, extent maps, page ids, outlines as this version writes them: read, and as the page describes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from blake3 import blake3

from lookaside import framing, manifest, outlines, outlining, pack, pageids, sealing
from lookaside.extentmap import decode_extents, encode_extents, units_of
from lookaside.manifest import decode_manifest, encode_content
from lookaside.pageids import ids_of, page_ids
from soulpad.base.errors import UnknownFormat
from tests.formats.lookaside_samples import CHUNK_UNITS, CONTENTS, DOMAIN, EXTENTS, IMAGE, MADE, MANIFEST, SAMPLES
from tests.unit.backup_parcels import ReadBytes

PAGE = Path(__file__).resolve().parents[2] / "docs/formats/lookaside.md"
Fields = dict[str, tuple[int, int | None]]


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def described(heading: str) -> Fields:
    """The fields of the table below a heading of the page: offset and bytes (None: as many as there are)."""
    text = PAGE.read_text().split(f"{heading}\n", 1)[1]
    text = re.split(r"\n#+ ", text, maxsplit=1)[0]
    rows = re.findall(r"^\| (-?\d+) \| ?(\d*) \| `(\w+)` \|", text, re.MULTILINE)
    return {
        field + offset * (field == "zeros"): (int(offset), int(size) if size else None) for offset, size, field in rows
    }


def taken(part: bytes, fields: Fields) -> dict[str, bytes]:
    """The fields of some bytes, by the page."""
    ends = {name: None if size is None else offset + size for name, (offset, size) in fields.items()}
    return {name: part[offset : ends[name] or None] for name, (offset, _) in fields.items()}


def number(field: bytes) -> int:
    return int.from_bytes(field, "little")


# --- what a sample means


def test_every_stored_sample_is_tried_and_every_format_has_one() -> None:
    assert {path.name for path in SAMPLES.iterdir()} == set(MADE)
    assert {
        f"{module.MAGIC.decode().lower()}-{module.VERSION}" for module in (pack, manifest, pageids, outlines)
    } < set(MADE)


def test_a_stored_pack_still_gives_its_chunks() -> None:
    whole = sample("soulpack-1")
    entries = pack.read_entries(io.BytesIO(whole), len(whole))
    bodies = [whole[entry.body_offset :][: entry.body_bytes] for entry in entries]
    opened = [
        pack.open_chunk(DOMAIN, entry, pack.require_body(entry, body))
        for entry, body in zip(entries, bodies, strict=True)
    ]
    assert opened == CONTENTS
    assert [entry.encoding for entry in entries] == [sealing.ZSTD, sealing.ZSTD, sealing.ZSTD, sealing.PLAIN]
    assert [body for _, body in pack.salvage_entries(io.BytesIO(whole))] == bodies


def test_a_stored_manifest_still_means_what_it_meant() -> None:
    assert decode_manifest(DOMAIN, sample("soulmani-1")) == MANIFEST


def test_a_stored_extent_map_still_means_what_it_meant_and_is_written_so() -> None:
    assert decode_extents(sample("extents-1"), 301, CHUNK_UNITS) == list(EXTENTS)
    assert encode_extents(EXTENTS) == sample("extents-1")


def test_stored_page_ids_are_still_those_of_their_image(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_bytes(sample("soulpage-1"))
    with page_ids(path, DOMAIN, len(IMAGE)) as (ids, there):
        assert there and ids.read(0, 100) == ids_of(DOMAIN, IMAGE)
    assert path.read_bytes() == sample("soulpage-1") == MADE["soulpage-1"]()


def test_stored_outlines_are_still_those_of_their_chunks() -> None:
    image = ReadBytes(sample("souloutl-1"))
    found = outlines.read_head(DOMAIN, image, set(MANIFEST.chunks))
    for content in CONTENTS:
        outline = found[DOMAIN.chunk_id(content)]
        pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
        page_ids = outlines.read_page_ids(image, outline)
        assert page_ids == [DOMAIN.page_id(page) for page in pages]
        assert list(outlines.proved(DOMAIN, page_ids, 0, content)) == list(enumerate(pages))
    assert sample("souloutl-1") == MADE["souloutl-1"]()


@pytest.mark.parametrize("name", ["soulpack-1", "soulmani-1", "souloutl-1"])
def test_a_later_version_is_refused_and_not_guessed_at(name: str) -> None:
    whole = sample(name)
    later = framing.checked(whole[:8] + (2).to_bytes(2, "little") + whole[10:48]) + whole[64:]
    with pytest.raises(UnknownFormat) as refused:
        if name == "soulpack-1":
            pack.read_entries(io.BytesIO(later), len(later))
        elif name == "souloutl-1":
            outlines.read_head(DOMAIN, ReadBytes(later), set())
        else:
            decode_manifest(DOMAIN, later)
    assert "/2" in refused.value.message and refused.value.hint


# --- what the page says


@pytest.mark.parametrize("name", ["soulpack-1", "soulmani-1", "soulpage-1", "souloutl-1"])
def test_the_page_describes_every_byte_of_the_header(name: str) -> None:
    fields = taken(sample(name)[: framing.HEADER_BYTES], described("## Header"))
    assert b"".join(fields.values()) == sample(name)[: framing.HEADER_BYTES]
    assert fields["magic"].decode().lower() == name[:8] and number(fields["version"]) == 1
    assert fields["domain"] == DOMAIN.public_id
    assert fields["check"] == blake3(sample(name)[:48]).digest(length=16)
    assert not any(fields["zeros10"] + fields["zeros32"])


def test_the_page_describes_every_byte_of_a_packs_heads() -> None:
    whole = sample("soulpack-1")
    for entry in pack.read_entries(io.BytesIO(whole), len(whole)):
        head = whole[entry.body_offset - pack.HEAD_BYTES : entry.body_offset]
        fields = taken(head, described("### Head"))
        assert b"".join(fields.values()) == head and fields["mark"] == b"CHNK"
        assert fields["chunk_id"] == entry.chunk_id and fields["body_digest"] == entry.body_digest
        sizes = [number(fields[name]) for name in ("encoding", "content_bytes", "body_bytes")]
        assert sizes == [entry.encoding, entry.content_bytes, entry.body_bytes]
        assert fields["check"] == blake3(head[:80]).digest(length=16)


def test_the_page_describes_every_byte_of_a_packs_footer_and_its_table() -> None:
    whole = sample("soulpack-1")
    footer = whole[-pack.FOOTER_BYTES :]
    fields = taken(footer, described("### Footer"))
    assert b"".join(fields.values()) == footer and fields["mark"] == b"SOULPEND"
    assert number(fields["entries"]) == len(CONTENTS)
    table = whole[number(fields["table_offset"]) : -pack.FOOTER_BYTES]
    entries = pack.read_entries(io.BytesIO(whole), len(whole))
    assert table == b"".join(entry.head() for entry in entries)
    assert fields["check"] == blake3(table + footer[:48]).digest(length=16)


def test_the_page_describes_a_manifest_and_its_content() -> None:
    whole = sample("soulmani-1")
    fields = taken(whole, described("## Manifest"))
    assert whole[:64] + b"".join(fields.values()) == whole
    content = encode_content(MANIFEST)
    assert number(fields["content_bytes"]) == len(content)
    body = taken(fields["body"], described("## Body"))
    assert len(body["nonce"]) == sealing.NONCE_BYTES and len(body["tag"]) == sealing.TAG_BYTES
    sealed = sealing.Sealed(number(fields["encoding"]), fields["body"])
    assert sealing.unseal(DOMAIN.body_key, sealed, b"soulpad manifest 1", len(content)) == content


def test_the_page_describes_every_byte_of_outlines() -> None:
    whole = sample("souloutl-1")
    fields = taken(whole, described("## Outlines"))
    assert whole[:64] + b"".join(fields.values()) == whole and not any(fields["zeros68"])
    assert number(fields["chunks"]) == len(CONTENTS)
    entries, rest = fields["rest"][: 36 * len(CONTENTS)], fields["rest"][36 * len(CONTENTS) :]
    check, page_ids = rest[:16], rest[16:]
    assert check == blake3(whole[64 : 80 + len(entries)]).digest(length=16)
    found = [
        taken(entries[start : start + 36], described("### Outlined chunk")) for start in range(0, len(entries), 36)
    ]
    assert [entry["chunk_id"] for entry in found] == [DOMAIN.chunk_id(content) for content in CONTENTS]
    assert [number(entry["units"]) for entry in found] == list(CHUNK_UNITS)
    assert page_ids == b"".join(outlines.page_ids_of(DOMAIN, content) for content in CONTENTS)


def test_the_page_names_every_field_of_a_manifests_head() -> None:
    head = json.loads(encode_content(MANIFEST)[4:].split(b"\x04\0\0\0" + MANIFEST.chunks[0], 1)[0])
    names = set(head) | {f"images[].{name}" for name in head["images"][0]}
    said = PAGE.read_text().split("The head:", 1)[1].split("\nThe parcel", 1)[0]
    assert set(re.findall(r"^\| `(\S+)` \|", said, re.MULTILINE)) == names


def test_limits_on_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert f"1 to {pack.LARGEST_CONTENT_BYTES}" in text
    assert f"{sealing.OVERHEAD_BYTES} to {pack.LARGEST_BODY_BYTES}" in text
    assert manifest.LARGEST_CONTENT_BYTES == 1 << 30 and "at most 1 GiB" in text
    assert f"`{outlines.PREFIX}NUMBER`" in text and f"up to {outlining.MOST_KEPT} " in text
    assert pageids.ID_BYTES == 8 and units_of(4097) == 2
