"""The cache: bounded, least recently used first, and no crash or damage in it ever makes a chunk wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookaside.cache import STAGED, Cache, Keeping
from lookaside.domain import ChunkId
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.sealed import Opened, SealedChunk

from .scene import CHUNKS, CONTENT, Scene, scene
from .shelves import DOMAIN

LARGE = 1 << 30


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "scene")


def chunks_of(here: Scene) -> list[SealedChunk]:
    found = Shelf(FolderTree(here.root)).find(here.version.chunks)
    return [chunk for _, chunk in found if isinstance(chunk, SealedChunk)]


def kept(cache: Cache) -> list[Path]:
    return [path for path in cache.root.glob("??/*") if path.is_file()]


def test_what_came_once_is_there_the_next_time(here: Scene, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", LARGE)
    assert here.assembled([Opened(Keeping(Shelf(FolderTree(here.root)), cache), DOMAIN)]) == CONTENT
    assert here.assembled([Opened(Cache(tmp_path / "cache", LARGE), DOMAIN)]) == CONTENT
    assert len(kept(cache)) == CHUNKS


def test_what_was_not_used_for_longest_goes_first(here: Scene, tmp_path: Path) -> None:
    chunks = chunks_of(here)[:5]
    cache = Cache(tmp_path / "cache", 4 * len(chunks[0].encoded()) + 10)
    for age, chunk in enumerate(chunks[:4]):
        cache.keep(chunk)
        os.utime(cache._path(chunk.entry.chunk_id), ns=(age + 1, age + 1))
    assert len(list(cache.find([chunks[0].entry.chunk_id]))) == 1
    cache.keep(chunks[4])
    left = {path.name for path in kept(cache)}
    assert chunks[0].entry.chunk_id.hex() in left  # used just now
    assert chunks[4].entry.chunk_id.hex() in left
    assert chunks[1].entry.chunk_id.hex() not in left
    assert sum(path.stat().st_size for path in kept(cache)) <= cache.limit_bytes


def test_a_chunk_that_is_larger_than_the_cache_is_not_kept(here: Scene, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1000)
    cache.keep(chunks_of(here)[0])
    assert kept(cache) == []


@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "another's", "longer"])
def test_damage_is_noticed_when_it_is_used_and_the_file_removed(here: Scene, tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path / "cache", LARGE)
    first, second, *_ = chunks_of(here)
    cache.keep(first)
    path = cache._path(first.entry.chunk_id)
    encoded = path.read_bytes()
    path.write_bytes(
        {
            "flipped": encoded[:200] + bytes([encoded[200] ^ 1]) + encoded[201:],
            "torn": encoded[: len(encoded) // 2],
            "empty": b"",
            "another's": second.encoded(),
            "longer": encoded + b"\0",
        }[damage]
    )
    assert list(cache.find([first.entry.chunk_id])) == []
    assert not path.exists()


def test_what_a_crash_left_half_written_is_cleared_away(here: Scene, tmp_path: Path) -> None:
    Cache(tmp_path / "cache", LARGE)
    (tmp_path / "cache" / STAGED / "left").write_bytes(b"half")
    cache = Cache(tmp_path / "cache", LARGE)
    assert list((tmp_path / "cache" / STAGED).iterdir()) == []
    assert kept(cache) == []


def test_a_full_disk_makes_a_cache_that_keeps_nothing_new(
    here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", LARGE)

    def refuse(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert here.assembled([Opened(Keeping(Shelf(FolderTree(here.root)), cache), DOMAIN)]) == CONTENT
    assert kept(cache) == []


def test_other_peoples_files_in_its_folder_are_not_its_own(here: Scene, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    others = [root / "ab" / "letter.txt", root / "letters" / ("cd" * 32), root / "ab" / ("cd" * 32)]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10_000))
    cache = Cache(root, 5_000)
    for chunk in chunks_of(here):
        cache.keep(chunk)
    assert all(path.stat().st_size == 10_000 for path in others)


def test_an_older_caches_size_counts(here: Scene, tmp_path: Path) -> None:
    for chunk in chunks_of(here)[:4]:
        Cache(tmp_path / "cache", LARGE).keep(chunk)
    small = Cache(tmp_path / "cache", 2 * len(chunks_of(here)[0].encoded()))
    small.keep(chunks_of(here)[4])
    assert len(kept(small)) == 1


def test_what_is_not_kept_is_missing(tmp_path: Path) -> None:
    assert list(Cache(tmp_path / "cache", LARGE).find([ChunkId(bytes(32))])) == []
