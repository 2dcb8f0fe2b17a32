"""Media outlive programs: files of lookaside media as earlier versions wrote them mean what they meant. A sample is
never changed; a new format version gets a new one beside it."""

from __future__ import annotations

from pathlib import Path

from lookaside.cache import Cache
from lookaside.domain import ChunkId, Domain
from lookaside.index import PackFile, Place, encode_index, require_whole_index
from lookaside.manifest import VersionName
from lookaside.pack import HEAD_BYTES, Entry, PackName
from lookaside.publicbase import PublicBase, parse_note, public_ids
from lookaside.publickey import decode_public_key, encode_public_key
from lookaside.sealed import Opened, sealed_chunk
from soulpad.base.secrets import Secret
from tests.unit.lookaside.notes import note_of

SAMPLES = Path(__file__).parent / "lookaside-media"
KEY = Secret(bytes(range(32)))
DOMAIN = Domain(KEY)
CONTENT = b"what a chunk may hold\n" * 200
CHUNK_ID = DOMAIN.chunk_id(CONTENT)

PACKS = [PackFile(PackName(f"{number:064x}"), 4096 * (number + 1)) for number in range(2)]
ENTRIES = [
    [Entry(ChunkId(bytes([16 * number + 3]) * 32), 1, 900, 64 + HEAD_BYTES + 500 * number, 100, bytes(32))]
    for number in range(2)
]
BASE = PublicBase(DOMAIN, VersionName("ab" * 32), tuple(ChunkId(bytes([number]) * 32) for number in range(9)))
OWN = [ChunkId(bytes([100 + number]) * 32) for number in range(6)]
PUBLIC = {OWN[1]: BASE.chunks[4], OWN[2]: BASE.chunks[5], OWN[5]: BASE.chunks[0]}


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def test_every_sample_is_tried() -> None:
    names = {"soulpad-index-1", "soulpad-public-key-1.json", "soulpad-public-base-1.json", "chunk-1"}
    assert {path.name for path in SAMPLES.iterdir()} == names


def test_an_index_is_read_and_written_byte_for_byte() -> None:
    encoded = sample("soulpad-index-1")
    index = require_whole_index(lambda offset, count: encoded[offset : offset + count], len(encoded))
    assert list(index.packs) == PACKS
    assert [index.places(entries[0].chunk_id) for entries in ENTRIES] == [
        [Place(PACKS[0].name, 64)],
        [Place(PACKS[1].name, 564)],
    ]
    assert encode_index(zip(PACKS, ENTRIES, strict=True)) == encoded


def test_a_public_key_is_read_and_written_byte_for_byte() -> None:
    encoded = sample("soulpad-public-key-1.json")
    assert decode_public_key(encoded).key == KEY
    assert encode_public_key(DOMAIN) == encoded


def test_a_note_of_a_public_base_is_read_and_written_byte_for_byte() -> None:
    text = sample("soulpad-public-base-1.json").decode()
    note = parse_note(text)
    assert (note.version, note.domain.key) == (BASE.version, KEY)
    assert public_ids(OWN, note, BASE) == PUBLIC
    assert note_of(OWN, PUBLIC, BASE) == text


def test_a_cached_chunk_is_opened(tmp_path: Path) -> None:
    encoded = sample("chunk-1")
    path = tmp_path / CHUNK_ID.hex()[:2] / CHUNK_ID.hex()
    path.parent.mkdir()
    path.write_bytes(encoded)
    assert Opened(Cache(tmp_path, 1 << 20), DOMAIN).get(CHUNK_ID) == CONTENT
    assert sealed_chunk(encoded, CHUNK_ID).encoded() == encoded
    assert [file.name for file in path.parent.iterdir()] == [path.name]
