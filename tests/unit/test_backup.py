"""Backups of parcels in folders: incremental, resumable, told apart from other lines, and back byte by byte."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lookaside.errors import ChunkMissing, CorruptChunk, DamagedManifest, RepositoryFailed
from lookaside.repository import MANIFESTS, PACKS, Repository
from lookaside.versions import KEYFRAME_EVERY
from soulpad.backup import saving
from soulpad.backup.line import newest_first
from soulpad.backup.mounted import subjects_in
from soulpad.backup.restoring import choose
from soulpad.backup.subject import Moment, require_whole
from soulpad.base.errors import BadInput, CannotResume, NoSpace, StoreDamaged
from soulpad.base.spans import Span
from soulpad.session import retention
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, verified
from soulpad.store.layout import ParcelPaths
from tests.unit.power import PowerCut, cut_if_it_comes_to, power, steps_of

from .backup_parcels import (
    FILES,
    UUID,
    ReadBytes,
    add_checkpoint,
    content_of,
    make_parcel,
    make_repository,
    restored,
    save,
)


@pytest.fixture
def parcel(tmp_path: Path) -> ParcelPaths:
    return make_parcel(tmp_path / "stick")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def test_every_version_comes_back_whole_with_its_session(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    for generation in range(4):
        if generation:
            add_checkpoint(parcel, generation, generation - 1)
        assert save(parcel.root, repository, tmp_path / "seen").version == generation
    for generation in range(4):
        folder = restored(repository, tmp_path / str(generation), generation)
        assert content_of(folder) == content_of(parcel.checkpoint(generation))
        assert len(content_of(folder)) == len(FILES)
        assert (folder / "parcel.json").read_bytes() == parcel.description.read_bytes()
        assert verified(folder, generation).suspended
    assert content_of(restored(repository, tmp_path / "newest")) == content_of(parcel.checkpoint(3))


def test_a_second_backup_stores_what_changed_and_a_third_nothing(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    first = save(parcel.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0)
    second = save(parcel.root, repository, tmp_path / "seen")
    assert second.made and 0 < second.new_chunks <= first.new_chunks + 4
    before = sorted(path for path in repository.root.rglob("*") if path.is_file())
    third = save(parcel.root, repository, tmp_path / "seen")
    assert (third.made, third.version, third.stored_bytes, third.read_bytes) == (False, 1, 0, 0)
    assert sorted(path for path in repository.root.rglob("*") if path.is_file()) == before


def test_where_the_places_tell_what_changed_nothing_else_is_read(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0)
    old, new = (content_of(parcel.checkpoint(generation)) for generation in (0, 1))

    def differing(name: str) -> list[Span]:
        starts = range(0, max(len(new[name]), len(old[name])), 4096)
        return [(at, min(at + 4096, len(new[name]))) for at in starts if old[name][at:][:4096] != new[name][at:][:4096]]

    by_size = {len(content): differing(name) for name, content in new.items()}
    monkeypatch.setattr(saving, "changed_between", lambda old, new: by_size[new.size_bytes])
    saved = save(parcel.root, repository, tmp_path / "seen")
    assert 0 < saved.read_bytes < saved.image_bytes
    manifest = next(newest_first(Repository.open(repository.root, repository.domain), UUID)).manifest
    assert manifest.base is not None and [image.name for image in manifest.images if image.whole] == ["outlines-1"]
    assert content_of(restored(repository, tmp_path / "out")) == new


def test_what_the_repository_lost_is_stored_again(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    for path in (repository.root / PACKS).rglob("*"):
        if path.is_file():
            path.unlink()
    shutil.copytree(parcel.checkpoint(0), parcel.checkpoint(1))
    manifest = CheckpointManifest.decode((parcel.checkpoint(0) / MANIFEST_NAME).read_bytes())
    (parcel.checkpoint(1) / MANIFEST_NAME).write_bytes(replace(manifest, generation=1, parent=0).encode())
    parcel.current.write_text("1\n")
    monkeypatch.setattr(saving, "changed_between", lambda old, new: [])  # nothing has changed between the two
    assert save(parcel.root, repository, tmp_path / "seen").new_chunks
    assert content_of(restored(repository, tmp_path / "out")) == content_of(parcel.checkpoint(1))


def test_no_chain_of_differences_is_without_end(parcel: ParcelPaths, repository: Repository, tmp_path: Path) -> None:
    for generation in range(1, KEYFRAME_EVERY + 3):
        save(parcel.root, repository, tmp_path / "seen")
        add_checkpoint(parcel, generation, generation - 1)
        if generation > 2:
            shutil.rmtree(parcel.checkpoint(generation - 2))
    save(parcel.root, repository, tmp_path / "seen")
    versions = list(newest_first(Repository.open(repository.root, repository.domain), UUID))
    assert [one.number for one in versions if one.manifest.base is None] == [KEYFRAME_EVERY, 0]
    assert content_of(restored(repository, tmp_path / "out")) == content_of(parcel.checkpoint(KEYFRAME_EVERY + 2))


# --- cuts


def test_a_backup_that_is_cut_off_anywhere_is_run_again_and_right(tmp_path: Path) -> None:
    def make(folder: Path) -> tuple[ParcelPaths, Repository]:
        paths = make_parcel(folder / "stick")
        repository = make_repository(folder / "repository")
        save(paths.root, repository, folder / "seen")
        add_checkpoint(paths, 1, 0)
        return paths, repository

    paths, repository = make(tmp_path / "rehearsed")
    steps = steps_of(lambda: save(paths.root, repository, tmp_path / "rehearsed" / "seen"))
    assert steps > 6
    for step in range(steps):
        folder = tmp_path / str(step)
        paths, repository = make(folder)
        with cut_if_it_comes_to(step):
            save(paths.root, repository, folder / "seen")
        count = len(repository.versions(UUID))
        assert content_of(restored(repository, folder / "cut")) == content_of(paths.checkpoint(count - 1))
        save(paths.root, repository, folder / "seen")
        assert content_of(restored(repository, folder / "again")) == content_of(paths.checkpoint(1))


def test_a_restore_that_is_cut_off_anywhere_leaves_no_half_and_is_run_again(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    steps = steps_of(lambda: restored(repository, tmp_path / "rehearsed"))
    assert steps > 6
    for step in range(steps):
        folder = tmp_path / str(step)
        with power(step), pytest.raises(PowerCut):
            restored(repository, folder)
        if not folder.exists():  # or only the making durable of its name was cut
            restored(repository, folder)
        assert content_of(folder) == content_of(parcel.checkpoint(0))


# --- bad input


def test_a_checkpoint_that_is_not_whole_is_not_backed_up(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    state = parcel.checkpoint(0) / "device-state"
    content = state.read_bytes()
    damages = (
        lambda: state.write_bytes(content[:-1] + bytes([content[-1] ^ 1])),
        lambda: state.write_bytes(content[:-1]),
        state.unlink,
        lambda: parcel.current.write_text("7"),
        lambda: parcel.current.write_text("newest"),
    )
    for damage in damages:
        damage()
        with pytest.raises((StoreDamaged, CannotResume)):
            save(parcel.root, repository, tmp_path / "seen")
    assert repository.versions(UUID) == {}


def test_what_lies_in_an_image_is_looked_at_as_a_mounted_checkpoint_is(parcel: ParcelPaths) -> None:
    files = {name: ReadBytes((parcel.checkpoint(0) / name).read_bytes()) for name in FILES}
    moment = Moment((parcel.checkpoint(0) / MANIFEST_NAME).read_bytes(), files)
    require_whole(moment)
    state = files["device-state"].content
    for damaged in (state[:-1], state[:-1] + bytes([state[-1] ^ 1])):
        with pytest.raises(StoreDamaged, match="device-state"):
            require_whole(replace(moment, files={**files, "device-state": ReadBytes(damaged)}))
    with pytest.raises(StoreDamaged, match=r"ram\.img is missing"):
        replace(moment, files={"disk-0.img": files["disk-0.img"]}).images()


def test_a_full_repository_is_said_and_nothing_is_half_there(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(NoSpace):
            save(parcel.root, repository, tmp_path / "seen")
    assert repository.versions(UUID) == {} and not list((repository.root / ".staged").iterdir())
    assert save(parcel.root, repository, tmp_path / "seen").made


def test_a_folder_that_cannot_be_written_is_said(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.fsync", read_only)
    with pytest.raises(RepositoryFailed, match="Read-only"):
        save(parcel.root, repository, tmp_path / "seen")


def test_a_damaged_or_missing_chunk_or_manifest_leaves_no_folder(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    (pack,) = (path for path in (repository.root / PACKS).rglob("*") if path.is_file())
    content = pack.read_bytes()
    pack.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    with pytest.raises((ChunkMissing, CorruptChunk)):
        restored(repository, tmp_path / "out")
    pack.unlink()
    with pytest.raises(ChunkMissing):
        restored(repository, tmp_path / "out")
    (manifest,) = (path for path in (repository.root / MANIFESTS).rglob("*") if path.is_file())
    manifest.write_bytes(b"")
    with pytest.raises(DamagedManifest):
        restored(repository, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_an_older_version_or_another_parcels_in_a_versions_place_is_noticed(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0)
    save(parcel.root, repository, tmp_path / "seen")
    line = repository.root / "versions" / UUID
    shutil.copytree(line, line.with_name("7e6c1a52-0c68-4b4e-a2cb-24a1a3f2a8a1"))
    with pytest.raises(DamagedManifest, match="another one's manifest"):
        choose(repository, "7e6c1a52-0c68-4b4e-a2cb-24a1a3f2a8a1", None)
    shutil.copy(line / "0000000000", line / "0000000001")
    for number in (None, 1):
        with pytest.raises(DamagedManifest, match="version 1 is another one's manifest"):
            restored(repository, tmp_path / "out", number)
    add_checkpoint(parcel, 2, 1)
    with pytest.raises(DamagedManifest):
        save(parcel.root, repository, tmp_path / "seen")


def test_what_is_not_there_cannot_be_chosen_and_what_is_there_is_not_overwritten(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no version"):
        choose(repository, UUID, None)
    save(parcel.root, repository, tmp_path / "seen")
    with pytest.raises(BadInput, match="no version 7"):
        choose(repository, UUID, 7)
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadInput, match="there already"):
        restored(repository, tmp_path / "mine")


# --- beside a running session


def test_what_is_being_backed_up_is_not_removed_meanwhile(parcel: ParcelPaths) -> None:
    add_checkpoint(parcel, 1, 0)
    with subjects_in(parcel.root) as subjects:
        (subject,) = subjects.whole
        retention.remove(Parcel(parcel, subject.description), 0)
        assert parcel.checkpoint(0).is_dir()
        assert [moment.manifest.generation for moment in subject.moments()] == [1, 0]
    retention.remove(Parcel(parcel, subject.description), 0, at_once=True)
    assert not parcel.checkpoint(0).exists()
