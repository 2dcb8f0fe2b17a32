"""Places as people name them: a folder, a disc, a jukebox; what is none is said."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lookaside.cache import Cache
from lookaside.errors import SourceUnusable
from lookaside.jukebox import finding
from lookaside.jukebox.client import Jukebox
from lookaside.jukebox.finding import SERVICE, Found, service_info
from lookaside.media.disc import DiscTree
from lookaside.media.indexing import write_index
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree, opened
from lookaside.places import places_named, sources_of
from lookaside.sealed import Opened
from lookaside.source import FirstOf
from soulpad.base.errors import UsageError

from .scene import CONTENT, Scene, scene
from .servers import serving
from .shelves import DOMAIN
from .test_source_matrix import pressed


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "scene")


def test_a_folder_and_a_disc_image_are_named_by_their_paths(here: Scene) -> None:
    iso = pressed(here.root, here.folder / "disc.iso")
    for path in (here.root, iso):
        (place,) = places_named(str(path))
        assert place.name == str(path)
        assert here.assembled(sources_of([place], DOMAIN, here.version)) == CONTENT


def test_a_jukebox_is_named_by_its_address(here: Scene) -> None:
    with serving(here.root) as server:
        places = places_named(f"http://127.0.0.1:{server.server_port}/")
        assert here.assembled(sources_of(places, DOMAIN, here.version)) == CONTENT


def test_what_a_jukebox_gave_is_cached_and_what_a_folder_gave_is_not(here: Scene, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1 << 30)
    assert here.assembled(sources_of([Shelf(FolderTree(here.root))], DOMAIN, here.version, cache)) == CONTENT
    assert here.assembled([Opened(cache, DOMAIN)]) is None
    with serving(here.root) as server:
        places = places_named(f"http://127.0.0.1:{server.server_port}")
        assert here.assembled(sources_of(places, DOMAIN, here.version, cache)) == CONTENT
    assert here.assembled([Opened(cache, DOMAIN)]) == CONTENT


def test_jukeboxes_that_announce_themselves_are_all_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Found("library", ("192.0.2.1", "fe80::1%eth0"), 7685), Found("school", ("192.0.2.2",), 80)]
    monkeypatch.setattr(finding, "find", lambda: found)
    assert [place.name for place in places_named("jukebox")] == ["jukebox library", "jukebox school"]


@pytest.mark.parametrize("url", ["https://host", "http://", "http://host:99999", "http://host/path", "http://[::1"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(UsageError, match="no jukebox's address"):
        places_named(url)


@pytest.mark.parametrize(("url", "address"), [("http://[::1]:7", "::1"), ("http://box.local", "box.local")])
def test_addresses_are_names_or_numbers_of_either_protocol(url: str, address: str) -> None:
    (place,) = places_named(url)
    assert isinstance(place, Jukebox)
    assert place._exchange._addresses == (address,)


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="No such file"):
        places_named(str(tmp_path / "gone"))


def test_what_is_announced_has_a_short_name_and_no_dots() -> None:
    info = service_info("büro.1." + "x" * 100, 7685)
    label = info.name.removesuffix(f".{SERVICE}")
    assert "." not in label and len(label.encode()) <= 63
    assert info.port == 7685


# --- discs


def test_a_disc_is_read_by_its_index_where_its_files_lie(here: Scene) -> None:
    write_index(here.root)
    shelf = Shelf(DiscTree(pressed(here.root, here.folder / "disc.iso")))
    assert here.assembled([Opened(shelf, DOMAIN)]) == CONTENT
    assert shelf._listed is None


def test_a_file_of_a_disc_ends_where_it_ends(here: Scene) -> None:
    tree = DiscTree(pressed(here.root, here.folder / "disc.iso"))
    path = "soulpad-repository.json"
    content = (here.root / path).read_bytes()
    assert tree.file_bytes(path) == len(content)
    assert tree.read(path, 0, 1 << 20) == content
    assert tree.read(path, 5, 4) == content[5:9]
    assert tree.read(path, len(content), 10) == b""
    file = opened(tree, path)
    assert (file.seek(2), file.read(3), file.read(2)) == (2, content[2:5], content[5:7])
    with pytest.raises(FileNotFoundError):
        tree.names("nowhere")


def test_a_drive_whose_disc_is_no_longer_asked_can_be_opened(here: Scene) -> None:
    disc = pressed(here.root, here.folder / "disc.iso")
    sources = FirstOf([Opened(Shelf(DiscTree(disc)), DOMAIN)])
    assert is_open(disc)
    sources.remove(sources.sources[0].name)
    assert not is_open(disc)


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    descriptors = Path("/proc/self/fd").iterdir()
    return any(os.path.realpath(descriptor) == str(path) for descriptor in descriptors)


@pytest.mark.parametrize("content", [b"", b"no disc", bytes(1 << 17)])
def test_what_is_no_disc_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.iso"
    path.write_bytes(content)
    with pytest.raises(SourceUnusable, match="no disc image"):
        DiscTree(path)


def test_a_disc_whose_folders_were_altered_or_cut_off_makes_no_result_wrong(here: Scene) -> None:
    iso = pressed(here.root, here.folder / "disc.iso")
    whole = iso.read_bytes()
    folders_end = whole.index(b"SOULPACK")
    chosen = random.Random(3)
    for attempt in range(60):
        content = bytearray(whole)
        for _ in range(1 + attempt % 4):
            content[chosen.randrange(1 << 15, folders_end)] = chosen.randrange(256)
        cut = len(content) if attempt % 3 else chosen.randrange(1 << 15, len(content))
        iso.write_bytes(content[:cut])
        try:
            shelf = Shelf(DiscTree(iso))
        except SourceUnusable:
            continue
        assert here.assembled([Opened(shelf, DOMAIN)]) in (CONTENT, None)
