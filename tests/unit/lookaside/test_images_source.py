"""Images as a source: a checkpoint's files give the chunks that still stand in them, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.errors import ChunkMissing
from lookaside.extentmap import Extent
from lookaside.images import ImagesSource, places_of
from lookaside.manifest import Manifest, VersionName
from lookaside.versions import Version, WholeImage

from .scene import CONTENT, IMAGE, NOISE, Scene, scene
from .shelves import DOMAIN


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "scene")


def images_of(here: Scene) -> ImagesSource:
    return ImagesSource("the stick", DOMAIN, {IMAGE: here.folder / "image"}, places_of(here.version))


def test_a_version_comes_from_its_own_images(here: Scene) -> None:
    assert here.assembled([images_of(here)]) == CONTENT


def test_what_was_changed_in_an_image_is_missing_and_the_rest_is_found(here: Scene) -> None:
    with (here.folder / "image").open("r+b") as file:
        file.seek(3 * len(NOISE[0]) + 77)
        file.write(b"worked on")
    source = images_of(here)
    found = []
    for chunk_id in here.version.chunks:
        try:
            found.append(source.get(chunk_id))
        except ChunkMissing:
            found.append(b"")
    assert found.count(b"") == 1
    assert here.assembled([source, here.repository]) == CONTENT


@pytest.mark.parametrize("left_bytes", [0, 5000, 700_000])
def test_an_image_that_was_cut_short_gives_what_is_left_of_it(here: Scene, left_bytes: int) -> None:
    with (here.folder / "image").open("r+b") as file:
        file.truncate(left_bytes)
    assert here.assembled([images_of(here)]) is None
    assert here.assembled([images_of(here), here.repository]) == CONTENT


def test_an_image_that_is_gone_gives_nothing(here: Scene) -> None:
    (here.folder / "image").unlink()
    assert here.assembled([images_of(here)]) is None


def test_images_that_nobody_named_are_not_read(here: Scene) -> None:
    with pytest.raises(ChunkMissing):
        ImagesSource("the stick", DOMAIN, {}, places_of(here.version)).get(here.version.chunks[0])


@given(st.permutations(range(4)), st.integers(1, 3))
def test_a_chunk_whose_pages_are_scattered_is_put_together(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], doubled: int
) -> None:
    """As memory's are: pages of one chunk in any places, some in several."""
    pages = [bytes([65 + number]) * 4096 for number in range(4)]
    content = b"".join(pages)
    chunk_id = DOMAIN.chunk_id(content)
    path = tmp_path_factory.mktemp("memory") / "ram.img"
    path.write_bytes(b"".join(pages[number] for number in order) + pages[doubled])
    extents = [Extent(place, 1, 0, number) for place, number in enumerate(order)] + [Extent(4, 1, 0, doubled)]
    image = WholeImage(5 * 4096, tuple(extents))
    manifest = Manifest("parcel", 0, None, None, ())
    version = Version(VersionName(""), manifest, {"ram.img": image}, (chunk_id,), (4,))
    assert ImagesSource("stick", DOMAIN, {"ram.img": path}, places_of(version)).get(chunk_id) == content
    short = replace(version, images={"ram.img": WholeImage(5 * 4096, tuple(extents[1:4]))})
    with pytest.raises(ChunkMissing):
        ImagesSource("stick", DOMAIN, {"ram.img": path}, places_of(short)).get(chunk_id)
