"""Salvaging: what is whole in a damaged repository is in the new one, what is lost is said, the old one stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lookaside.errors import NoRepository
from lookaside.keyring import Key, add, found_repository
from lookaside.keyslots import wrap
from lookaside.lacking import LOST_DOCUMENT
from lookaside.repository import DESCRIPTION, Repository
from lookaside.salvaging import domain_of_damaged, salvage
from lookaside.verifying import verify
from soulpad.base.errors import WrongPassphrase
from soulpad.base.secrets import Secret
from tests.unit.power import cut_if_it_comes_to, steps_of

from .letters import PARCEL, forget, packs_in, words, write
from .shelves import DOMAIN

WORDS = {0: "abcd", 1: "abce", 2: "xbce"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    Repository.create(made, DOMAIN)
    for word in WORDS.values():
        write(made, word)
    return made


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def number_file(root: Path, number: int) -> Path:
    return root / "versions" / PARCEL / f"{number:010d}"


def largest_pack(root: Path) -> Path:
    return max(packs_in(root), key=lambda path: path.stat().st_size)


def cut_tail(root: Path) -> None:
    path = largest_pack(root)
    path.write_bytes(path.read_bytes()[:-100])


def spoil_header(root: Path) -> None:
    path = largest_pack(root)
    path.write_bytes(bytes(64) + path.read_bytes()[64:])


def rename_pack(root: Path) -> None:
    path = largest_pack(root)
    path.rename(path.with_name("lost+found-17"))


def lose_numbers(root: Path) -> None:
    for number in (0, 2):
        number_file(root, number).unlink()


def spoil_number(root: Path) -> None:
    number_file(root, 1).write_bytes(b"\xff\0")


def swap_numbers(root: Path) -> None:
    first, second = number_file(root, 0), number_file(root, 1)
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])


def lose_description(root: Path) -> None:
    (root / DESCRIPTION).unlink()


@pytest.mark.parametrize(
    "damage",
    [cut_tail, spoil_header, rename_pack, lose_numbers, spoil_number, swap_numbers, lose_description],
)
def test_what_no_chunk_was_lost_of_comes_back_whole(root: Path, damage: Callable[[Path], None]) -> None:
    damage(root)
    before = everything(root)
    new = root.parent / "new"
    result = salvage(root, DOMAIN, new)
    assert result.all_saved and result.versions == 3
    assert words(new) == WORDS
    assert verify(new, DOMAIN).whole
    assert everything(root) == before


def lose_first_chunk(root: Path) -> None:
    """Alters a byte in the body of the first chunk of the first version, the letter a."""
    path = largest_pack(root)
    content = bytearray(path.read_bytes())
    content[64 + 96 + 20] ^= 1
    path.write_bytes(bytes(content))


def test_versions_that_lack_a_chunk_are_lost_and_it_is_said_which_bytes(root: Path) -> None:
    lose_first_chunk(root)
    result = salvage(root, DOMAIN, root.parent / "new")
    assert [(lost.number, lost.lost) for lost in result.lost] == [
        (0, {"disk-0.img": [(0, 4096)]}),
        (1, {"disk-0.img": [(0, 4096)]}),
    ]
    assert words(root.parent / "new") == {2: "xbce"}
    assert result.saved_chunks == 3 and not result.all_saved


def test_versions_that_lack_a_chunk_come_with_zeros_and_a_note_when_asked_for(root: Path) -> None:
    lose_first_chunk(root)
    new = root.parent / "new"
    result = salvage(root, DOMAIN, new, partial=True)
    assert [lost.number for lost in result.partial] == [0, 1] and not result.lost
    assert words(new) == {0: "bcd", 1: "bce", 2: "xbce"}  # a hole has no letter
    repository = Repository.open(new, DOMAIN)
    notes = {number: repository.manifest(name).documents for number, name in repository.versions(PARCEL).items()}
    assert json.loads(notes[1][LOST_DOCUMENT]) == {"disk-0.img": [[0, 4096]]}
    assert LOST_DOCUMENT not in notes[2]
    assert verify(new, DOMAIN).whole


def test_a_lost_manifest_takes_with_it_what_builds_on_it_and_no_more(root: Path) -> None:
    repository = Repository.open(root, DOMAIN)
    name = repository.versions(PARCEL)[1]
    repository.path("manifests", name).unlink()
    write(root, "new", keyframe=True)
    new = root.parent / "new"
    result = salvage(root, DOMAIN, new)
    assert [lost.number for lost in result.lost] == [1, 2]
    assert words(new) == {0: "abcd", 3: "new"}
    assert Repository.open(new, DOMAIN).numbers(PARCEL) == [0, 1, 2, 3]


def test_what_was_forgotten_stays_forgotten(root: Path) -> None:
    forget(root, [0])
    result = salvage(root, DOMAIN, root.parent / "new")
    assert result.all_saved
    assert words(root.parent / "new") == {1: "abce", 2: "xbce"}


def test_chunks_and_manifests_of_another_key_are_left_out(root: Path, tmp_path: Path) -> None:
    foreign = found_repository(tmp_path / "foreign", Key(Secret(b"k" * 32), "key-file"))
    write_foreign = tmp_path / "foreign-pack"
    write_foreign.write_bytes(packs_in(root)[0].read_bytes())
    result = salvage(root, foreign.domain, tmp_path / "new")
    assert result.packs == 0 and result.saved_chunks == 0 and result.versions == 0


def test_it_is_only_made_where_nothing_is(root: Path) -> None:
    (root.parent / "new").mkdir()
    (root.parent / "new" / "thesis.txt").write_text("mine")
    with pytest.raises(NoRepository):
        salvage(root, DOMAIN, root.parent / "new")
    with pytest.raises(NoRepository):
        salvage(root.parent / "new", DOMAIN, root.parent / "other")
    assert (root.parent / "new" / "thesis.txt").read_text() == "mine"


def test_cut_off_anywhere_it_leaves_no_repository_and_can_be_repeated(root: Path) -> None:
    cut_tail(root)
    new = root.parent / "new"
    steps = steps_of(lambda: salvage(root, DOMAIN, root.parent / "rehearsed"))
    for step in range(0, steps, 3):
        with cut_if_it_comes_to(step):
            salvage(root, DOMAIN, new)
        assert not new.exists() or words(new) == WORDS
        if not new.exists():
            salvage(root, DOMAIN, new)
        assert words(new) == WORDS
        new.rename(root.parent / f"done-{step}")


def test_the_key_is_found_also_where_the_description_is_lost(tmp_path: Path) -> None:
    key = Key(Secret(b"k" * 32), "key-file")
    root = tmp_path / "repository"
    Repository.create(root, DOMAIN)
    add(root, wrap(DOMAIN, key.secret, "key-file"))
    write(root, "abc")
    (root / DESCRIPTION).write_bytes(b"{")
    assert domain_of_damaged(root, key).public_id == DOMAIN.public_id
    salvage(root, domain_of_damaged(root, key), tmp_path / "new")
    assert domain_of_damaged(tmp_path / "new", key).public_id == DOMAIN.public_id
    with pytest.raises((NoRepository, WrongPassphrase)):
        domain_of_damaged(root, Key(Secret(b"x" * 32), "key-file"))
