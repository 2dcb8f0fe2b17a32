"""Each kind of source in each condition: what is assembled with its help is right or absent, never wrong."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from lookaside.cache import Cache
from lookaside.domain import ChunkId
from lookaside.errors import SourceUnusable
from lookaside.images import ImagesSource, places_of
from lookaside.index import INDEX_FILE, encode_index
from lookaside.media.disc import DiscTree
from lookaside.media.indexing import write_index
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.pack import Entry
from lookaside.sealed import Opened, SealedChunk
from lookaside.source import ChunkSource, FirstOf

from .scene import CONTENT, IMAGE, NOISE, OTHER_DOMAIN, Scene, noise, scene
from .servers import client_of, serving
from .shelves import DOMAIN

STALE = b"".join([noise(70, len(NOISE[0])), *NOISE[1:3], noise(71, 300_000)])  # shares two chunks with CONTENT


@dataclass
class Medium:
    """What a source is made from: a folder that is a repository, and the images of the version in it."""

    there: Scene
    stack: ExitStack

    @property
    def root(self) -> Path:
        return self.there.root


def folder(medium: Medium) -> ChunkSource:
    return Opened(Shelf(FolderTree(medium.root)), DOMAIN)


def repository(medium: Medium) -> ChunkSource:
    return type(medium.there.repository)(medium.root, DOMAIN)


def jukebox(medium: Medium) -> ChunkSource:
    return Opened(client_of(medium.stack.enter_context(serving(medium.root))), DOMAIN)


def disc(medium: Medium) -> ChunkSource:
    return Opened(Shelf(DiscTree(pressed(medium.root, medium.there.folder / "disc.iso"))), DOMAIN)


def cache(medium: Medium) -> ChunkSource:
    """A cache's files in the same condition as the packs that they came from."""
    kept = Cache(medium.there.folder / "cache", 1 << 30)
    for pack in medium.there.packs():
        for chunk_id, encoded in entries_in(pack):
            path = kept.root / chunk_id.hex()[:2] / chunk_id.hex()
            path.parent.mkdir(exist_ok=True)
            if not path.exists():  # after the entries their heads stand again, in the table
                path.write_bytes(encoded)
    return Opened(kept, DOMAIN)


def images(medium: Medium) -> ChunkSource:
    """The images of the medium's version; where packs are damaged, so are they."""
    path = medium.there.folder / "image"
    return ImagesSource("images", DOMAIN, {IMAGE: path}, places_of(medium.there.version))


KINDS: dict[str, Callable[[Medium], ChunkSource]] = {
    "folder": folder,
    "repository": repository,
    "jukebox": jukebox,
    "disc": disc,
    "cache": cache,
    "images": images,
}


def entries_in(pack: Path) -> Iterator[tuple[ChunkId, bytes]]:
    """What stands in a pack's places, whole or not."""
    content, offset = pack.read_bytes(), 64
    while content[offset : offset + 4] == b"CHNK":
        body_bytes = int.from_bytes(content[offset + 12 : offset + 16], "little")
        yield ChunkId(content[offset + 16 : offset + 48]), content[offset : offset + 96 + body_bytes]
        offset += 96 + body_bytes


def pressed(root: Path, out: Path) -> Path:
    """A disc image of a folder, made by pycdlib."""
    iso = PyCdlib()
    iso.new(interchange_level=4, rock_ridge="1.09")
    for path in sorted(root.rglob("*")):
        name = "/" + path.relative_to(root).as_posix()
        if path.is_dir():
            iso.add_directory(name, rr_name=path.name)
        else:
            iso.add_file(str(path), name, rr_name=path.name)
    iso.write(str(out))
    iso.close()
    return out


# --- conditions


def right(_: Medium) -> None: ...


def truncated(medium: Medium) -> None:
    for path in [*medium.there.packs()[:2], medium.there.folder / "image"]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def flipped(medium: Medium) -> None:
    chosen = random.Random(5)
    for path in [*medium.there.packs(), medium.there.folder / "image"]:
        content = bytearray(path.read_bytes())
        for _ in range(5):
            content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
        path.write_bytes(content)


def swapped(medium: Medium) -> None:
    """Two packs have each other's names."""
    first, second, *_ = medium.there.packs()
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def indexed(medium: Medium) -> None:
    write_index(medium.root)


def indexed_before_damage(medium: Medium) -> None:
    write_index(medium.root)
    flipped(medium)


def lied_to(medium: Medium) -> None:
    """The index says of each chunk that it is where another one is, in another pack."""
    shelf = Shelf(FolderTree(medium.root))
    tables: list[list[Entry]] = [shelf.entries(file) for file in shelf.packs()]
    turned = tables[1:] + tables[:1]
    (medium.root / INDEX_FILE).write_bytes(encode_index(zip(shelf.packs(), turned, strict=True)))


def half_gone(medium: Medium) -> None:
    write_index(medium.root)
    medium.there.packs()[0].unlink()
    (medium.there.folder / "image").unlink()


def all_gone(medium: Medium) -> None:
    for path in medium.there.packs():
        path.write_bytes(b"")
    (medium.there.folder / "image").write_bytes(b"")


CONDITIONS: dict[str, Callable[[Medium], None]] = {
    "right": right,
    "truncated": truncated,
    "flipped bits": flipped,
    "packs swapped": swapped,
    "with an index": indexed,
    "damaged after it was indexed": indexed_before_damage,
    "with an index that lies": lied_to,
    "half gone": half_gone,
    "empty": all_gone,
}


@pytest.fixture
def version(tmp_path: Path) -> Scene:
    """The version that is wanted, and a repository that has it whole."""
    return scene(tmp_path / "wanted")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def check(wanted: Scene, source: ChunkSource) -> None:
    """Alone it gives the right result or none; before one that has everything the right one; so too after it."""
    assert wanted.assembled([source]) in (CONTENT, None)
    assert wanted.assembled([source, wanted.repository]) == CONTENT
    assert wanted.assembled([wanted.repository, source]) == CONTENT


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_source_in_any_condition_makes_no_result_wrong(
    version: Scene, tmp_path: Path, stack: ExitStack, kind: str, condition: str
) -> None:
    medium = Medium(scene(tmp_path / "medium"), stack)
    CONDITIONS[condition](medium)
    source = KINDS[kind](medium)
    check(version, source)
    if condition in ("right", "with an index", "with an index that lies"):
        assert version.assembled([source]) == CONTENT


@pytest.mark.parametrize("kind", KINDS)
def test_a_stale_source_gives_what_is_still_the_same(
    version: Scene, tmp_path: Path, stack: ExitStack, kind: str
) -> None:
    medium = Medium(scene(tmp_path / "medium", content=STALE), stack)
    source = KINDS[kind](medium)
    check(version, source)
    asked = FirstOf([source, version.repository])
    assert version.assembled([asked]) == CONTENT
    assert asked.tallies[source.name].chunks == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_of_another_domain_is_of_no_use_and_no_harm(
    version: Scene, tmp_path: Path, stack: ExitStack, kind: str
) -> None:
    medium = Medium(scene(tmp_path / "medium", OTHER_DOMAIN), stack)
    if kind == "images":
        medium.there.version = version.version
    source = KINDS[kind](medium)
    check(version, source)


@pytest.mark.parametrize("kind", ["folder", "repository", "disc", "images"])
def test_a_medium_that_is_pulled_out_in_the_middle_is_done_without(
    version: Scene, tmp_path: Path, stack: ExitStack, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third read on every read of it is an error."""
    medium = Medium(scene(tmp_path / "medium"), stack)
    source = KINDS[kind](medium)
    pull_out(monkeypatch, medium.there.folder, reads=3)
    check(version, source)


def pull_out(monkeypatch: pytest.MonkeyPatch, folder: Path, reads: int) -> None:
    """After so many reads below ``folder`` there is nothing there any more."""
    real, inside, left = os.pread, str(folder), [reads]

    def failing(descriptor: int, count: int, offset: int) -> bytes:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(inside):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(5, "Input/output error")
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", failing)


def test_a_jukebox_that_goes_away_in_the_middle_is_done_without(version: Scene, tmp_path: Path) -> None:
    medium = scene(tmp_path / "medium")
    with serving(medium.root) as server:
        client = client_of(server)
        source = Opened(client, DOMAIN)
        source.get(version.version.chunks[0])
    shutil.rmtree(medium.root)
    client.close()
    with pytest.raises(SourceUnusable):
        source.get(version.version.chunks[0])
    check(version, source)


@pytest.mark.parametrize("kind", ["folder", "disc", "images", "repository"])
def test_a_source_that_cannot_be_written_gives_all_the_same(
    version: Scene, tmp_path: Path, stack: ExitStack, kind: str
) -> None:
    medium = Medium(scene(tmp_path / "medium"), stack)
    before = {path: path.stat().st_mtime_ns for path in medium.root.rglob("*")}
    source = KINDS[kind](medium)
    assert version.assembled([source]) == CONTENT
    assert {path: path.stat().st_mtime_ns for path in medium.root.rglob("*")} == before


def test_sources_come_and_go_while_a_version_is_assembled(version: Scene, tmp_path: Path, stack: ExitStack) -> None:
    medium = Medium(scene(tmp_path / "medium"), stack)
    near, far = folder(medium), jukebox(medium)
    asked = FirstOf([near])
    chunks = version.version.chunks
    expected = [version.repository.get(chunk_id) for chunk_id in chunks]
    got = [asked.get(chunks[0]), asked.get(chunks[1])]
    asked.remove(near.name)
    asked.add(far)
    got += [asked.get(chunks[2]), asked.get(chunks[3])]
    asked.remove(far.name)
    asked.add(near)
    got += [asked.get(chunk_id) for chunk_id in chunks[4:]]
    assert got == expected
    assert (asked.tallies[near.name].chunks, asked.tallies[far.name].chunks) == (4, 2)


def test_a_source_that_garbles_everything_is_asked_no_more(version: Scene) -> None:
    @dataclass
    class Garbling:
        name: str = "garbling"
        asked: int = 0

        def find(self, ids):  # type: ignore[no-untyped-def]
            for chunk_id in ids:
                self.asked += 1
                entry = Entry(chunk_id, 0, 100, 96, 150, bytes(32))
                yield chunk_id, SealedChunk(entry, bytes(150))

    garbling = Garbling()
    everything = FirstOf([Opened(garbling, DOMAIN), version.repository])
    for _ in range(20):
        for chunk_id in version.version.chunks:
            everything.get(chunk_id)
    assert garbling.asked == 32
