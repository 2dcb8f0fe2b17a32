"""Two sticks that went on from one checkpoint, and older copies of a repository: told, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lookaside.errors import VersionTaken
from lookaside.repository import Repository
from soulpad.backup import saving
from soulpad.backup.line import AnotherLine, OlderRepository
from soulpad.backup.seen import Seen
from soulpad.backup.subject import Subject
from soulpad.store.layout import ParcelPaths

from .backup_parcels import UUID, add_checkpoint, content_of, make_parcel, make_repository, restored, save


@pytest.fixture
def parcel(tmp_path: Path) -> ParcelPaths:
    return make_parcel(tmp_path / "stick")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def two_sticks(tmp_path: Path, parcel: ParcelPaths) -> ParcelPaths:
    """Another stick that went on from the same checkpoint, as after a restore."""
    shutil.copytree(parcel.root, tmp_path / "other")
    return ParcelPaths(tmp_path / "other", UUID)


def test_a_stick_whose_line_another_one_left_is_refused_and_nothing_is_lost(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    other = two_sticks(tmp_path, parcel)
    for generation in (1, 2):
        add_checkpoint(parcel, generation, generation - 1, "mine")
        add_checkpoint(other, generation, generation - 1, "theirs")
    save(other.root, repository, tmp_path / "seen")
    with pytest.raises(AnotherLine, match="none that this stick came from"):
        save(parcel.root, repository, tmp_path / "seen")
    assert save(parcel.root, repository, tmp_path / "seen", branch=True).version == 2
    with pytest.raises(AnotherLine):
        save(other.root, repository, tmp_path / "seen")
    for number, paths in ((1, other), (2, parcel)):
        folder = restored(repository, tmp_path / str(number), number)
        assert content_of(folder) == content_of(paths.checkpoint(2))


def test_of_two_who_back_up_at_once_one_is_told_and_runs_it_again(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0)
    made = saving.documents_of

    def other_is_quicker(subject: Subject) -> dict[str, str]:
        monkeypatch.setattr(saving, "documents_of", made)
        save(parcel.root, repository, tmp_path / "other seen")
        return made(subject)

    monkeypatch.setattr(saving, "documents_of", other_is_quicker)
    with pytest.raises(VersionTaken):
        save(parcel.root, repository, tmp_path / "seen")
    again = save(parcel.root, repository, tmp_path / "seen")
    assert (again.made, again.version) == (False, 1)


def test_a_stick_that_is_behind_is_told_that_it_is(parcel: ParcelPaths, repository: Repository, tmp_path: Path) -> None:
    other = two_sticks(tmp_path, parcel)
    add_checkpoint(other, 1, 0)
    save(other.root, repository, tmp_path / "seen")
    with pytest.raises(AnotherLine, match="later state"):
        save(parcel.root, repository, tmp_path / "seen")


def test_a_restored_stick_goes_on_with_the_line(parcel: ParcelPaths, repository: Repository, tmp_path: Path) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0)
    save(parcel.root, repository, tmp_path / "seen")
    folder = restored(repository, tmp_path / "folder")
    new = ParcelPaths(tmp_path / "new", UUID)
    new.checkpoints.mkdir(parents=True)
    shutil.copytree(folder, new.checkpoint(1))
    (folder / "parcel.json").rename(new.description)
    new.current.write_text("1\n")
    assert not save(new.root, repository, tmp_path / "seen").made
    add_checkpoint(new, 2, 1)
    assert save(new.root, repository, tmp_path / "seen").version == 2


def test_a_session_that_went_back_to_an_earlier_moment_is_the_same_line(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    add_checkpoint(parcel, 1, 0)
    save(parcel.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 2, 0)
    assert save(parcel.root, repository, tmp_path / "seen").version == 1


def test_where_the_past_is_not_known_nobody_is_refused(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    other = two_sticks(tmp_path, parcel)
    add_checkpoint(other, 1, 0, "theirs")
    save(other.root, repository, tmp_path / "seen")
    add_checkpoint(parcel, 1, 0, "mine")
    path = parcel.checkpoint(1) / "checkpoint.json"
    path.write_bytes(json.dumps(json.loads(path.read_bytes()) | {"history": ""}).encode())
    assert save(parcel.root, repository, tmp_path / "seen").version == 1


def test_an_older_copy_of_the_repository_is_noticed(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path
) -> None:
    save(parcel.root, repository, tmp_path / "seen")
    shutil.copytree(repository.root, tmp_path / "copy")
    add_checkpoint(parcel, 1, 0)
    save(parcel.root, repository, tmp_path / "seen")
    copy = Repository.open(tmp_path / "copy", repository.domain)
    with pytest.raises(OlderRepository, match="version 1"):
        save(parcel.root, copy, tmp_path / "seen")
    assert save(parcel.root, copy, tmp_path / "nothing seen").made
    shutil.rmtree(copy.root)
    shutil.copytree(repository.root, copy.root)
    shutil.rmtree(copy.root / "versions" / UUID)
    with pytest.raises(OlderRepository, match="none of this parcel"):
        save(parcel.root, Repository.open(copy.root, repository.domain), tmp_path / "seen")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": "soulpad-seen/9"}',
        '{"format": "soulpad-seen/1", "repositories": {"7": 7}}',
        '{"repositories": 7}',
    ],
)
def test_what_was_seen_is_needed_by_nobody(
    parcel: ParcelPaths, repository: Repository, tmp_path: Path, content: str
) -> None:
    (tmp_path / "seen").write_text(content)
    assert save(parcel.root, repository, tmp_path / "seen").made
    assert Seen(tmp_path / "seen").newest(repository.domain.public_id, UUID)
    (tmp_path / "file").touch()
    assert not save(parcel.root, repository, tmp_path / "file" / "seen").made
