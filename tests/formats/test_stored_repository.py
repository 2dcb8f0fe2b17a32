"""A repository of the first format, as it was written once, is read for ever: versions, key slots, marks."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lookaside.collecting import collect
from lookaside.errors import RepositoryBusy
from lookaside.keyring import Key, unlock
from lookaside.manifest import VersionName
from lookaside.marks import Doom, Holder, dooms, pinned, pins
from lookaside.pack import PackName
from lookaside.repository import Repository
from lookaside.verifying import verify
from soulpad.base.secrets import Secret
from tests.unit.lookaside.letters import PARCEL, words, write
from tests.unit.lookaside.shelves import DOMAIN

SAMPLE = Path(__file__).parent / "repositories" / "soulpad-repository-1.tar.gz"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with tarfile.open(SAMPLE) as tar:
        tar.extractall(tmp_path)
    return tmp_path / "soulpad-repository-1"


@pytest.mark.parametrize("key", [Key(Secret(b"the passphrase of a sample")), Key(Secret(b"k" * 32), "key-file")])
def test_its_versions_are_read_with_either_key(root: Path, key: Key) -> None:
    domain = unlock(root, key)
    assert domain.public_id == DOMAIN.public_id
    assert words(root) == {1: "abce", 2: "xbce"}
    assert Repository.open(root, domain).numbers(PARCEL) == [0, 1, 2]
    assert verify(root, domain).whole


def test_its_marks_are_understood(root: Path) -> None:
    (pin,) = pins(root)
    assert pin.holder == Holder("5b6f0c3e-0000-4000-8000-000000000000", "pid:[1]", 4711, 1234, "pc")
    (doom,) = dooms(root)
    packs, manifests = frozenset({PackName("0" * 64)}), frozenset({VersionName("1" * 64)})
    assert doom == Doom("00112233445566778899aabbccddeeff", packs, manifests, frozenset({pin.pin_id}))


def test_it_can_be_written_to_and_collected(root: Path) -> None:
    write(root, "new")
    result = collect(Repository.open(root, DOMAIN), broken=[pin.pin_id for pin in pins(root)])
    assert len(result.taken_away) == 1 and not dooms(root)
    assert words(root) == {1: "abce", 2: "xbce", 3: "new"}
    with pinned(root, "collecting"), pytest.raises(RepositoryBusy):
        collect(Repository.open(root, DOMAIN))
