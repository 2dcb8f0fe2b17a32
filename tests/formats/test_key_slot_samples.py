"""Repositories outlive programs: key slots as earlier versions wrote them still give the key. No sample changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookaside.domain import Domain
from lookaside.errors import DamagedKeySlot
from lookaside.keyslots import FORMAT, decode, unwrap
from soulpad.base.errors import UnknownFormat
from soulpad.base.secrets import Secret

SAMPLES = Path(__file__).parent / "repository"
DOMAIN = Domain(Secret(bytes(range(32))))
OPENED_BY = {
    "soulpad-key-1-passphrase.json": Secret("ein Beispiel mit Ümläuten".encode()),
    "soulpad-key-1-key-file.json": Secret(bytes(range(100, 164))),
}


def test_every_sample_is_tried() -> None:
    assert {path.name for path in SAMPLES.glob("soulpad-key-*")} == set(OPENED_BY)


@pytest.mark.parametrize("name", OPENED_BY)
def test_a_stored_slot_still_gives_the_key(name: str) -> None:
    content = (SAMPLES / name).read_bytes()
    slot = decode(content)
    domain = unwrap(slot, OPENED_BY[name])
    assert domain and domain.key == DOMAIN.key
    assert slot.encode() == content
    assert json.loads(content)["format"] == FORMAT


@pytest.mark.parametrize("name", OPENED_BY)
def test_a_slot_of_another_version_is_refused_with_its_version(name: str) -> None:
    content = (SAMPLES / name).read_bytes()
    with pytest.raises(UnknownFormat, match="soulpad-key/2"):
        decode(content.replace(b"soulpad-key/1", b"soulpad-key/2"))


@pytest.mark.parametrize("name", OPENED_BY)
def test_a_slot_without_one_of_its_fields_is_damaged(name: str) -> None:
    fields = json.loads((SAMPLES / name).read_bytes())
    for missing in fields:
        rest = {field: value for field, value in fields.items() if field != missing}
        with pytest.raises(DamagedKeySlot):
            decode(json.dumps(rest).encode())
