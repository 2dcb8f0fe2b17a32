"""Verifying: any byte that is altered, cut, exchanged or lost is found, and what it costs is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookaside.domain import Domain
from lookaside.errors import ForeignDomain, NoRepository
from lookaside.repository import DESCRIPTION, Repository
from lookaside.verifying import drawn, verify
from soulpad.base.errors import UnknownFormat

from .letters import PARCEL, forget, packs_in, write
from .shelves import DOMAIN


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "repository"
    Repository.create(root, DOMAIN)
    for word in ("abcd", "abce", "xbce"):
        write(root, word)
    return root


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != DESCRIPTION)


@pytest.mark.parametrize("domain", [DOMAIN, None])
def test_a_whole_repository_is_whole_and_all_of_it_was_read(whole: Path, domain: Domain | None) -> None:
    found = verify(whole, domain)
    assert found.whole and not found.notes
    assert found.packs_read == found.packs == 3
    assert found.pack_bytes_read == found.pack_bytes == sum(path.stat().st_size for path in packs_in(whole))
    assert found.versions == (3 if domain else None)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), keyed=st.booleans())
def test_an_altered_byte_in_any_file_is_found_also_without_the_key(
    whole: Path, data: st.DataObject, keyed: bool
) -> None:
    path = data.draw(st.sampled_from(files_of(whole)))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 2))  # a number's newline may be missing
    altered = bytearray(content)
    altered[at] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(bytes(altered))
        found = verify(whole, DOMAIN if keyed else None)
        assert not found.whole
    finally:
        path.write_bytes(content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_is_cut_short_or_exchanged_for_another_is_found(whole: Path, data: st.DataObject) -> None:
    files = files_of(whole)
    path, other = data.draw(st.sampled_from(files)), data.draw(st.sampled_from(files))
    content = path.read_bytes()
    cut = content[: data.draw(st.integers(0, len(content) - 2))]
    try:
        path.write_bytes(cut if path == other else other.read_bytes())
        assert not verify(whole, DOMAIN).whole
    finally:
        path.write_bytes(content)


def test_a_file_that_is_lost_is_found_and_it_is_said_which_versions_that_costs(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    Repository.create(root, DOMAIN)
    write(root, "abcd")
    first = packs_in(root)[0]
    write(root, "abce")
    write(root, "wxyz", keyframe=True)
    first.unlink()
    found = verify(root, DOMAIN)
    assert [(lost.parcel, lost.number) for lost in found.incomplete] == [(PARCEL, 0), (PARCEL, 1)]
    assert found.incomplete[1].lost == {"disk-0.img": [(0, 3 * 4096)]}


def test_a_number_below_the_highest_that_is_missing_is_found_without_the_key(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    Repository.create(root, DOMAIN)
    for word in ("a", "b", "c"):
        write(root, word, keyframe=True)
    forget(root, [0])
    assert verify(root, None).whole
    (root / "versions" / PARCEL / "0000000001").unlink()
    assert any("version 1 is missing" in finding for finding in verify(root, None).findings)
    assert any("has a manifest and no number" in note for note in verify(root, DOMAIN).notes)


def test_a_chunk_that_another_pack_has_too_costs_nothing(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    Repository.create(root, DOMAIN)
    write(root, "abc")
    (pack,) = packs_in(root)
    hidden = tmp_path / "hidden"
    pack.rename(hidden)
    write(root, "abc", keyframe=True)
    pack.write_bytes(hidden.read_bytes()[:-1])
    found = verify(root, DOMAIN)
    assert len(found.findings) == 1 and not found.incomplete


def test_a_share_reads_packs_drawn_at_random_and_says_how_much() -> None:
    sizes = dict.fromkeys("abcdefghij", 10)
    seen = [drawn(sizes, 0.3) for _ in range(200)]  # type: ignore[arg-type]
    assert all(len(chosen) == 3 for chosen in seen)
    assert set().union(*seen) == set(sizes)


def test_a_share_looks_at_every_table_all_the_same(whole: Path) -> None:
    found = verify(whole, DOMAIN, share=0.01)
    assert found.whole and found.packs_read == 1 and found.pack_bytes_read < found.pack_bytes


def test_nothing_is_written(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    verify(whole, DOMAIN)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_a_foreign_key_an_unknown_format_and_no_repository_are_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ForeignDomain):
        verify(whole, Domain.new())
    with pytest.raises(NoRepository):
        verify(tmp_path, None)
    (tmp_path / DESCRIPTION).write_text(json.dumps({"format": "soulpad-repository/9", "domain": "00" * 16}))
    with pytest.raises(UnknownFormat):
        verify(tmp_path, None)
