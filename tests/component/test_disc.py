"""Discs made by xorriso: read in place, extracted and by the kernel; one base's disc serves a private version."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lookaside.domain import Domain
from lookaside.jukebox.finding import announced, find
from lookaside.media.bases import bases_on
from lookaside.media.indexing import check_index
from lookaside.media.pressing import disc_of_folder, disc_of_image
from lookaside.media.shelf import Shelf
from lookaside.places import places_named, sources_of
from lookaside.publickey import PUBLIC_KEY_FILE
from lookaside.repository import Repository
from lookaside.sealed import Opened
from soulpad.base.errors import ProgramFailed
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.cli.main import main
from tests.unit.lookaside.scene import CHUNKS, CONTENT, Scene, scene
from tests.unit.lookaside.shelves import DOMAIN

pytestmark = pytest.mark.component


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path / "a = scene")


def shelf_at(path: Path) -> Shelf:
    (place,) = places_named(str(path))
    assert isinstance(place, Shelf)
    return place


def extracted(iso: Path, folder: Path) -> Path:
    run(["xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", folder])
    run(["chmod", "-R", "u+w", folder])
    return folder


def test_a_repositorys_disc_restores_its_version_with_its_owners_key(here: Scene, tmp_path: Path) -> None:
    made = disc_of_folder(here.root, tmp_path / "disc.iso")
    assert not made.public and made.packs == 3
    shelf = shelf_at(made.path)
    assert here.assembled([Opened(shelf, DOMAIN)]) == CONTENT
    assert shelf.index() is not None and shelf._listed is None
    assert here.assembled([Opened(shelf, Domain.new())]) is None


def test_a_disc_holds_a_whole_repository_for_standard_tools(here: Scene, tmp_path: Path) -> None:
    folder = extracted(disc_of_folder(here.root, tmp_path / "disc.iso").path, tmp_path / "extracted")
    assert check_index(folder).record_count == CHUNKS
    repository = Repository.open(folder, DOMAIN)
    assert list(repository.versions(repository.parcels()[0]).values()) == [here.version.name]
    assert here.assembled([repository]) == CONTENT


def test_the_kernel_reads_the_same_files(here: Scene, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    made = disc_of_folder(here.root, tmp_path / "disc.iso")
    point = tmp_path / "mounted"
    point.mkdir()
    try:
        run(["mount", "-o", "loop,ro", made.path, point])
    except ProgramFailed:
        if "iso9660" in Path("/proc/filesystems").read_text():
            raise
        pytest.skip("this kernel has no ISO 9660")
    try:
        assert here.assembled([Opened(shelf_at(point), DOMAIN)]) == CONTENT
    finally:
        run(["umount", point])


def test_a_base_images_disc_is_public_and_gives_the_image(here: Scene, tmp_path: Path) -> None:
    disc = tmp_path / "base.iso"
    made = disc_of_image(here.folder / "image", disc, Silent())
    assert made.public
    shelf = shelf_at(disc)
    (base,) = bases_on(shelf)
    assert len(base.chunks) == CHUNKS
    assert len(list(Opened(shelf, base.domain).get_many(base.chunks))) == CHUNKS
    assert here.assembled(sources_of([shelf], DOMAIN, here.version)) is None  # that version notes no base
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_two_discs_of_one_image_are_of_one_domain_and_a_key_file_continues_it(here: Scene, tmp_path: Path) -> None:
    for name in ("one.iso", "two.iso"):
        disc_of_image(here.folder / "image", tmp_path / name, Silent())
    folder = extracted(tmp_path / "one.iso", tmp_path / "extracted")
    other = tmp_path / "other.raw"
    other.write_bytes(CONTENT[: 3 << 17])
    disc_of_image(other, tmp_path / "three.iso", Silent(), folder / PUBLIC_KEY_FILE)
    disc_of_image(other, tmp_path / "four.iso", Silent())
    domains = [
        bases_on(shelf_at(tmp_path / f"{name}.iso"))[0].domain.public_id for name in ("one", "two", "three", "four")
    ]
    assert domains[0] == domains[1] == domains[2] != domains[3]


def test_the_command_says_aloud_that_a_base_images_key_is_public(
    here: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "disc.iso"
    assert main(["lookaside", "iso", "--of", str(here.folder / "image"), str(out)]) == 0
    assert "PUBLIC" in capsys.readouterr().err
    assert main(["lookaside", "iso", "--of", str(here.root), str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "path": str(out), "bytes": out.stat().st_size, "packs": 3, "public": False
    }  # fmt: skip


def test_a_disc_that_cannot_be_made_leaves_the_old_one(here: Scene, tmp_path: Path) -> None:
    out = tmp_path / "disc.iso"
    out.write_bytes(b"the old one")
    assert main(["lookaside", "iso", "--of", str(tmp_path / "a = scene"), str(out)]) == 85
    assert out.read_bytes() == b"the old one"


def test_a_jukebox_that_is_announced_is_found_and_gone_afterwards() -> None:
    with announced("component test", 7685):
        names = [found.name for found in find(3.0)]
        if not names:
            pytest.skip("no multicast on this network")
        assert "component test" in names
    assert "component test" not in [found.name for found in find(1.0)]
