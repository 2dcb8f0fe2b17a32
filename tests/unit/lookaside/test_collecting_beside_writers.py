"""Garbage collection beside writers, in any order of file operations, killed anywhere: nothing is ever lacking."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookaside.collecting import collect
from lookaside.errors import RepositoryBusy
from lookaside.marks import COLLECTING, WRITING, pins
from lookaside.repository import Repository

from .interleaving import play
from .letters import PARCEL, forget, forget_all_but_newest, letters_in, words, write, write_if_free
from .shelves import DOMAIN

WORDS = st.text("abcd", min_size=1, max_size=4)
TURNS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60)), max_size=12)


def collect_now(root: Path, broken: list[str] | None = None) -> None:
    with suppress(RepositoryBusy):
        collect(Repository.open(root, DOMAIN), rewrite_below=0.7, broken=broken or [])


def collect_twice(root: Path) -> None:
    collect_now(root)
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
        collect_now(root)
        assert set(letters_in(root)) == set("".join(found.values()))
        assert not list((root / ".staged").iterdir())
        assert not list((root / "marks").iterdir())


def test_what_a_writer_relies_on_stays_until_it_is_done(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    begun(root, ["abcd", "b"])
    for operations in range(1, 120, 3):
        play([partial(write_if_free, root, "abcd"), partial(collect_now, root)], [(0, operations)])
        assert words(root)[max(words(root))] == "abcd"
        write(root, "b", keyframe=True)
        forget_all_but_newest(root)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_collection_of_what_is_all_needed_changes_nothing(tmp_path: Path, share: float) -> None:
    root = tmp_path / "repository"
    begun(root, ["abc"])
    before = sorted(path for path in root.rglob("*") if path.is_file())
    collect(Repository.open(root, DOMAIN), rewrite_below=share)
    assert sorted(path for path in root.rglob("*") if path.is_file()) == before
    assert Repository.open(root, DOMAIN).parcels() == [PARCEL]
