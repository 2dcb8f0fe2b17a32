"""Shelves: packs are found by an index where it is true, without it where it is not, and nothing is believed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from lookaside.errors import CorruptChunk, DamagedIndex, SourceUnusable
from lookaside.index import INDEX_FILE, PackFile, encode_index
from lookaside.media.indexing import check_index, write_index
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.pack import Entry
from lookaside.repository import Repository
from lookaside.sealed import Opened, SealedChunk

from .scene import CHUNKS, CONTENT, NOISE, Scene, scene, stored
from .shelves import DOMAIN


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "scene")


def shelf_of(here: Scene) -> Shelf:
    return Shelf(FolderTree(here.root))


def found_on(shelf: Shelf, here: Scene) -> list[SealedChunk | CorruptChunk]:
    return [found for _, found in shelf.find(here.version.chunks)]


def lying_index(here: Scene) -> bytes:
    """One that gives each chunk the place of another."""
    shelf = shelf_of(here)
    return encode_index(
        (file, [replace(one, body_offset=other.body_offset) for one, other in pairs_of(entries)])
        for file in shelf.packs()
        for entries in [shelf.entries(file)]
    )


def pairs_of(entries: list[Entry]) -> Iterable[tuple[Entry, Entry]]:
    """Each with the one after it."""
    return zip(entries, entries[1:] + entries[:1], strict=True)


@pytest.mark.parametrize("indexed", [False, True])
def test_chunks_are_found_with_an_index_and_without(here: Scene, indexed: bool) -> None:
    if indexed:
        assert write_index(here.root).chunks == CHUNKS
    shelf = shelf_of(here)
    assert here.assembled([Opened(shelf, DOMAIN)]) == CONTENT
    assert (shelf._listed is None) == indexed  # no table was read


def test_packs_that_came_after_the_index_are_found(here: Scene) -> None:
    write_index(here.root)
    stored(here.repository, NOISE[5], here.folder / "image")
    new = DOMAIN.chunk_id(NOISE[5])
    assert len(list(shelf_of(here).find([new]))) == 1


def test_packs_that_went_since_the_index_are_missing_and_the_rest_is_found(here: Scene) -> None:
    write_index(here.root)
    here.packs()[0].unlink()
    assert len(found_on(shelf_of(here), here)) == CHUNKS - 2


def test_an_index_that_lies_is_used_no_more_and_all_is_found(here: Scene, caplog: pytest.LogCaptureFixture) -> None:
    (here.root / INDEX_FILE).write_bytes(lying_index(here))
    assert here.assembled([Opened(shelf_of(here), DOMAIN)]) == CONTENT
    assert "its index is not used any more" in caplog.text


def test_an_index_that_leaves_chunks_out_makes_a_shelf_that_has_less(here: Scene) -> None:
    shelf = shelf_of(here)
    (here.root / INDEX_FILE).write_bytes(encode_index((file, shelf.entries(file)[:1]) for file in shelf.packs()))
    assert len(found_on(shelf_of(here), here)) == 3


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_an_index_that_is_none_is_left_aside(here: Scene, content: bytes) -> None:
    (here.root / INDEX_FILE).write_bytes(content)
    assert here.assembled([Opened(shelf_of(here), DOMAIN)]) == CONTENT


def test_an_index_says_so_when_it_is_damaged(here: Scene) -> None:
    write_index(here.root)
    encoded = bytearray((here.root / INDEX_FILE).read_bytes())
    encoded[-40] ^= 1
    (here.root / INDEX_FILE).write_bytes(encoded)
    with pytest.raises(DamagedIndex, match="records were altered"):
        check_index(here.root)


@pytest.mark.parametrize("indexed", [False, True])
def test_a_flipped_bit_in_a_body_is_told_from_a_chunk_that_is_not_there(here: Scene, indexed: bool) -> None:
    if indexed:
        write_index(here.root)
    path = here.packs()[0]
    damaged = bytearray(path.read_bytes())
    damaged[64 + 96 + 50] ^= 1
    path.write_bytes(damaged)
    found = found_on(shelf_of(here), here)
    assert [isinstance(one, CorruptChunk) for one in found].count(True) == 1
    assert len(found) == CHUNKS


def test_a_truncated_pack_is_left_out_of_the_index_and_named(here: Scene) -> None:
    path = here.packs()[1]
    path.write_bytes(path.read_bytes()[:-1])
    made = write_index(here.root)
    assert made.left_out == (path.name,)
    assert made.packs == 2


def test_a_folder_that_is_gone_is_unusable(here: Scene) -> None:
    shelf = shelf_of(here)
    shutil.rmtree(here.root)
    with pytest.raises(SourceUnusable):
        list(shelf.find(here.version.chunks))


def test_a_folder_without_packs_has_no_index_made(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="no folder packs"):
        write_index(tmp_path)


def test_files_that_are_no_packs_are_not_looked_at(here: Scene) -> None:
    (here.packs()[0].parent / "notes.txt").write_text("mine")
    assert len(list(shelf_of(here).packs())) == 3


def test_a_repository_reads_by_its_index_and_stores_by_its_packs(here: Scene) -> None:
    write_index(here.root)
    repository = Repository.open(here.root, DOMAIN)
    assert here.assembled([repository]) == CONTENT
    assert repository._places is None
    here.packs()[0].unlink()
    again = Repository.open(here.root, DOMAIN)
    assert sum(again.has(chunk_id) for chunk_id in here.version.chunks) == CHUNKS - 2


def test_an_index_never_makes_a_backup_leave_a_chunk_out(here: Scene) -> None:
    """One that names a pack which is not there, and one that claims chunks for a pack which lacks them."""
    shelf = shelf_of(here)
    (first, *others) = list(shelf.packs())
    everything = [entry for file in shelf.packs() for entry in shelf.entries(file)]
    encoded = encode_index([(PackFile(first.name, 1 << 30), everything)])
    for file in others:
        (here.root / "packs" / file.name[:2] / file.name).unlink()
    (here.root / INDEX_FILE).write_bytes(encoded)
    repository = Repository.open(here.root, DOMAIN)
    stored(repository, CONTENT, here.folder / "image")
    assert here.assembled([Repository.open(here.root, DOMAIN)]) == CONTENT
