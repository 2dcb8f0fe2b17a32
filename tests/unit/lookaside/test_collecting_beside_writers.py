"""Garbage collection beside writers, in any order of file operations, killed anywhere: nothing is ever lacking."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lookaside.collecting import collect
from lookaside.errors import BaseGone, RepositoryBusy
from lookaside.manifest import Manifest, VersionName
from lookaside.marks import COLLECTING, WRITING, Pin, new_doom, pinned, pins
from lookaside.repository import Repository
from lookaside.upload import uploading

from .interleaving import play
from .letters import PARCEL, forget, forget_all_but_newest, letters_in, packs_in, words, write, write_if_free
from .shelves import DOMAIN

WORDS = st.text("abcd", min_size=1, max_size=4)
TO_ITS_END = 100_000
TURNS = st.lists(st.tuples(st.integers(0, 3), st.one_of(st.integers(1, 150), st.just(TO_ITS_END))), max_size=8)


def collect_now(root: Path, broken: list[str] | None = None) -> None:
    with suppress(RepositoryBusy):
        collect(Repository.open(root, DOMAIN), rewrite_below=0.7, broken=broken or [])


def collect_twice(root: Path) -> None:
    collect_now(root)
    collect_now(root)


def collect_without(root: Path, pin: Pin) -> None:
    """Collects once that pin is gone."""
    pin.path.unlink()
    collect_now(root)


def write_and_forget(root: Path, word: str) -> None:
    write_if_free(root, word)
    forget_all_but_newest(root)


def write_twice(root: Path, word: str) -> None:
    write_if_free(root, word)
    write_if_free(root, word[::-1], keyframe=True)


ACTORS: list[Callable[..., None]] = [write_if_free, write_and_forget, write_twice]


def begun(root: Path, first: list[str]) -> None:
    """A repository with versions of which only the newest is not deleted, and with packs that nobody needs."""
    Repository.create(root, DOMAIN)
    for number, word in enumerate(first):
        write(root, word, keyframe=number % 2 == 0)
    forget(root, range(len(first) - 1))


def all_pins(root: Path) -> list[str]:
    return [pin.pin_id for kind in (WRITING, COLLECTING) for pin in pins(root, kind)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=st.lists(WORDS, min_size=1, max_size=4),
    writers=st.tuples(st.tuples(st.sampled_from(ACTORS), WORDS), st.tuples(st.sampled_from(ACTORS), WORDS)),
    turns=TURNS,
    killed=st.sets(st.integers(0, 3)),
)
@example(["a"], ((write_and_forget, "a"), (write_and_forget, "a")), [(1, 30)], set())  # both forget the same version
def test_no_version_lacks_anything_whoever_works_at_once_and_whoever_is_killed(
    first: list[str],
    writers: tuple[tuple[Callable[..., None], str], ...],
    turns: list[tuple[int, int]],
    killed: set[int],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repository"
        begun(root, first)
        works = [partial(act, root, word) for act, word in writers]
        play([*works, partial(collect_twice, root), partial(collect_now, root)], turns, sorted(killed))
        found = words(root)
        assert found and set(found.values()) <= {*first, *(w for _, word in writers for w in (word, word[::-1]))}
        collect_now(root, broken=all_pins(root))
        assert words(root) == found
        write(root, "zz", keyframe=True)
        forget_all_but_newest(root)
        collect_now(root)
        assert letters_in(root) == "z"
        assert not list((root / ".staged").iterdir())
        assert not list((root / "marks").iterdir())


def test_what_a_writer_relies_on_stays_until_it_is_done(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    begun(root, ["abcd", "b"])
    for operations in range(1, 150, 4):
        play([partial(write_if_free, root, "abcd"), partial(collect_now, root)], [(0, operations), (1, TO_ITS_END)])
        assert words(root)[max(words(root))] == "abcd"
        write(root, "b", keyframe=True)
        forget_all_but_newest(root)


def test_a_writer_who_comes_later_does_not_rely_on_what_is_doomed(tmp_path: Path) -> None:
    for operations in range(20, 150, 4):
        root = tmp_path / str(operations)
        begun(root, ["abcd", "b"])
        with pinned(root) as first:
            collect_now(root)  # dooms what it cannot delete yet
            later = partial(write_if_free, root, "abcd")
            play([later, partial(collect_without, root, first)], [(0, operations), (1, TO_ITS_END)])
        assert words(root)[max(words(root))] == "abcd"


def test_a_writer_is_seen_from_before_it_looks(tmp_path: Path) -> None:
    for operations in range(1, 10):
        for collected in range(1, 110, 4):
            root = tmp_path / f"{operations}-{collected}"
            begun(root, ["abcd", "b"])
            works = [partial(write_if_free, root, "abcd"), partial(collect_now, root)]
            play(works, [(0, operations), (1, collected), (0, 45), (1, TO_ITS_END)])
            assert words(root)[max(words(root))] == "abcd"


def test_what_a_difference_inherits_from_doomed_packs_and_manifests_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    begun(root, ["abcd"])
    repository = Repository.open(root, DOMAIN)
    doomed = [*packs_in(root), *(path for path in (root / "manifests").glob("*/*"))]
    new_doom(root, repository.staging, frozenset(repository.packs()), frozenset(repository.manifests()))
    write(root, "abce")
    for path in doomed:
        path.unlink()
    assert set(letters_in(root)) == set("abce")
    forget(root, [0])
    assert words(root) == {1: "abce"}


def test_a_version_whose_base_was_deleted_meanwhile_is_not_committed(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    begun(root, ["ab", "cd"])
    repository = Repository.open(root, DOMAIN)
    base = VersionName((root / "versions" / PARCEL / "0000000001").read_text().strip())
    write(root, "ef", keyframe=True)
    forget(root, [1])
    with uploading(repository) as upload, pytest.raises(BaseGone):
        upload.commit(Manifest(PARCEL, 3, base, base, ()))
    assert sorted(words(root)) == [2]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_collection_of_what_is_all_needed_changes_nothing(tmp_path: Path, share: float) -> None:
    root = tmp_path / "repository"
    begun(root, ["abc"])
    before = sorted(path for path in root.rglob("*") if path.is_file())
    collect(Repository.open(root, DOMAIN), rewrite_below=share)
    assert sorted(path for path in root.rglob("*") if path.is_file()) == before
    assert Repository.open(root, DOMAIN).parcels() == [PARCEL]
