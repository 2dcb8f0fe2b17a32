"""A backup that knows the disc its parcel was made from: the disc, or a jukebox that has it, serves restores."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from builder.restore import Beside, sources_at
from lookaside.places import public_base_at
from lookaside.publicbase import DOCUMENT, note_in
from lookaside.publickey import PUBLIC_KEY_FILE, encode_public_key, public_domain_of
from lookaside.repository import Repository
from lookaside.versions import resolved
from soulpad.backup.line import StoredVersion
from soulpad.backup.restoring import Traffic, choose, restore
from soulpad.base.errors import BadInput, SoulpadError
from soulpad.base.progress import Silent
from soulpad.base.secrets import Secret
from soulpad.store.checkpoint import disk_name
from soulpad.store.layout import ParcelPaths

from .backup_parcels import UUID, add_checkpoint, content_of, make_parcel, make_repository, save
from .lookaside.scene import stored
from .lookaside.servers import serving

PUBLIC = public_domain_of(bytes(32))


@pytest.fixture
def parcel(tmp_path: Path) -> ParcelPaths:
    return make_parcel(tmp_path / "stick")


@pytest.fixture
def disc(parcel: ParcelPaths, tmp_path: Path) -> Path:
    """What a disc of the parcel's first disk holds."""
    medium = Repository.create(tmp_path / "disc", PUBLIC)
    stored(medium, (parcel.checkpoint(0) / disk_name(0)).read_bytes(), tmp_path / "image", PUBLIC)
    (medium.root / PUBLIC_KEY_FILE).write_bytes(encode_public_key(PUBLIC))
    return medium.root


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def fail(name: str, error: SoulpadError) -> None:
    raise AssertionError(f"{name}: {error}")


def newest(repository: Repository) -> tuple[Repository, StoredVersion]:
    again = Repository.open(repository.root, repository.domain)
    return again, choose(again, UUID, None)


def bytes_by_source(repository: Repository, place: str, folder: Path) -> dict[str, int]:
    again, version = newest(repository)
    traffic = Traffic()
    with ExitStack() as stack:
        sources = sources_at(place, again, version, Beside((), Secret(b""), fail), stack)
        restore(again, version, folder, sources, traffic, Silent())
    return {name: tally.content_bytes for name, tally in traffic.sources.items()}


def test_what_is_as_on_the_disc_is_restored_from_it_also_in_later_versions(
    parcel: ParcelPaths, disc: Path, repository: Repository, tmp_path: Path
) -> None:
    public = public_base_at(str(disc))
    save(parcel.root, repository, tmp_path / "seen", public=public)
    add_checkpoint(parcel, 1, 0)
    save(parcel.root, repository, tmp_path / "seen")  # the disc is not at hand any more
    (disc / "soulpad-repository.json").unlink()  # as on a disc that was made of an image
    came = bytes_by_source(repository, str(disc), tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(parcel.checkpoint(1))
    assert came[f"{disc} (public base)"] > 0 and came[str(repository.root)] > 0


def test_a_jukebox_that_has_the_disc_serves_it_too(
    parcel: ParcelPaths, disc: Path, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen", public=public_base_at(str(disc)))
    with serving(disc) as server:
        came = bytes_by_source(repository, f"http://127.0.0.1:{server.server_port}", tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(parcel.checkpoint(0))
    assert sum(count for name, count in came.items() if name.endswith("(public base)")) > 0


def test_a_jukebox_with_the_repositorys_packs_spares_asking_the_repository(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    with serving(repository.root) as server:
        came = bytes_by_source(repository, f"http://127.0.0.1:{server.server_port}", tmp_path / "out")
    assert content_of(tmp_path / "out") == content_of(parcel.checkpoint(0))
    assert came.pop(str(repository.root), 0) == 0 and sum(came.values()) > 0


def test_without_a_disc_nothing_is_noted(parcel: ParcelPaths, repository: Repository, tmp_path: Path) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    again, version = newest(repository)
    assert DOCUMENT not in version.manifest.documents
    assert note_in(resolved(version.name, again.manifest)) is None


def test_what_is_no_disc_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no disc"):
        public_base_at("http://10.0.0.1")
    (tmp_path / "letter").write_text("dear reader")
    with pytest.raises(SoulpadError):
        public_base_at(str(tmp_path / "letter"))
    with pytest.raises(SoulpadError):
        public_base_at(str(tmp_path))
