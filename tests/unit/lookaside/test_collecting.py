"""Garbage collection by itself: what goes, what is copied, what waits, and that it can be cut off anywhere."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookaside import marks, placing
from lookaside.collecting import collect
from lookaside.domain import ChunkId
from lookaside.errors import DamagedManifest, DamagedMarks, PinBroken, RepositoryBusy, RepositoryFailed
from lookaside.marks import COLLECTING, MARKS, WRITING, Pin, new_doom, pinned, pins, this_process
from lookaside.pack import Entry, PackName
from lookaside.repository import Repository
from lookaside.rewriting import planned
from lookaside.upload import uploading
from lookaside.verifying import verify
from soulpad.base.errors import BadInput
from tests.unit.power import PowerCut, cut_if_it_comes_to, power, steps_of

from .letters import PARCEL, forget, letters_in, packs_in, put, words, write
from .shelves import DOMAIN


def made(root: Path, *all_words: str) -> Path:
    Repository.create(root, DOMAIN)
    for word in all_words:
        write(root, word, keyframe=True)
    return root


def opened(root: Path) -> Repository:
    return Repository.open(root, DOMAIN)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Version 0 is forgotten; of its pack, abcdefgh, one letter is needed."""
    root = made(tmp_path / "repository", "abcdefgh", "axyz")
    forget(root, [0])
    return root


def test_what_no_version_needs_is_deleted_and_what_is_needed_is_copied_out_of_packs_of_little_use(root: Path) -> None:
    size = sum(path.stat().st_size for path in packs_in(root))
    result = collect(opened(root))
    assert letters_in(root) == "axyz" and words(root) == {1: "axyz"}
    assert result.deleted_packs == 1 and result.deleted_manifests == 1
    assert size - result.freed_bytes + result.rewritten_bytes == sum(path.stat().st_size for path in packs_in(root))
    assert verify(root, DOMAIN).whole


def test_packs_of_which_enough_is_needed_stay_as_they_are(root: Path) -> None:
    before = packs_in(root)
    assert collect(opened(root), rewrite_below=0.1).freed_bytes == 0
    assert packs_in(root) == before


def test_a_manifest_that_others_are_differences_against_stays_while_they_need_it(tmp_path: Path) -> None:
    root = made(tmp_path / "repository", "abc")
    write(root, "abd")
    forget(root, [0])
    collect(opened(root), rewrite_below=1.0)
    assert words(root) == {1: "abd"} and letters_in(root) == "abd"
    write(root, "new", keyframe=True)
    forget(root, [1])
    assert collect(opened(root)).deleted_manifests == 2


def test_cut_off_anywhere_it_loses_nothing_and_the_next_one_does_the_rest(tmp_path: Path) -> None:
    def begun(folder: Path) -> Path:
        folder.mkdir()
        made(folder / "repository", "abcdefgh", "axyz")
        forget(folder / "repository", [0])
        return folder / "repository"

    rehearsed = begun(tmp_path / "rehearsed")
    steps = steps_of(lambda: collect(opened(rehearsed)))
    assert steps > 8
    for step in range(steps):
        root = begun(tmp_path / str(step))
        with cut_if_it_comes_to(step):
            collect(opened(root))
        assert words(root) == {1: "axyz"}
        left = [pin.pin_id for pin in pins(root, COLLECTING)]  # this process lives, so they are not seen to be dead
        collect(opened(root), broken=left)
        assert words(root) == {1: "axyz"} and letters_in(root) == "axyz"
        assert not list((root / MARKS).iterdir()) and not list((root / ".staged").iterdir())


def test_cut_off_anywhere_forgetting_leaves_the_version_or_not_and_never_half_of_it(tmp_path: Path) -> None:
    for step in range(12):
        root = made(tmp_path / str(step), "ab", "cd")
        try:
            with power(step):
                forget(root, [0])
        except PowerCut:
            pass
        assert words(root) in ({0: "ab", 1: "cd"}, {1: "cd"})
        forget(root, [number for number in words(root) if number == 0])
        assert words(root) == {1: "cd"}


def test_somebody_at_work_is_waited_for_and_named(root: Path) -> None:
    with pinned(root) as pin:
        result = collect(opened(root))
        assert result.freed_bytes == 0 and result.waiting_bytes > 0
        assert [found.pin_id for found in result.awaited] == [pin.pin_id]
        assert str(os.getpid()) in str(result.awaited[0])
    assert collect(opened(root)).freed_bytes > 0


def test_the_pin_of_a_process_that_ended_is_taken_away(root: Path) -> None:
    script = f"from pathlib import Path; from lookaside.marks import make_pin; make_pin(Path({str(root)!r}), 'writing')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(pins(root)) == 1
    result = collect(opened(root))
    assert len(result.taken_away) == 1 and not pins(root) and result.freed_bytes > 0


@pytest.mark.parametrize("fields", [{"boot": "another"}, {"pids": "pid:[1]"}])
def test_the_pin_of_a_process_elsewhere_stays_until_it_is_broken(root: Path, fields: dict[str, str]) -> None:
    holder = {**vars(this_process()), **fields, "pid": 2**22 + 1}
    (root / MARKS / "writing-0123").write_text(json.dumps(holder))
    assert collect(opened(root)).freed_bytes == 0
    assert collect(opened(root), broken=["0123"]).freed_bytes > 0


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"boot": 1}', b"[" * 100_000])
def test_a_pin_that_cannot_be_read_is_somebody_at_work(root: Path, content: bytes) -> None:
    (root / MARKS / "writing-0123").write_bytes(content)
    result = collect(opened(root))
    assert result.freed_bytes == 0 and "unknown" in str(result.awaited[0])


def test_a_pin_that_is_not_there_cannot_be_broken(root: Path) -> None:
    with pytest.raises(BadInput):
        collect(opened(root), broken=["0123"])


def test_two_do_not_collect_at_once(root: Path) -> None:
    with pinned(root, COLLECTING) as other:
        with pytest.raises(RepositoryBusy, match=other.pin_id):
            collect(opened(root))
        assert [pin.pin_id for pin in pins(root, COLLECTING)] == [other.pin_id]
    assert collect(opened(root)).freed_bytes > 0


def test_a_writer_whose_pin_was_broken_does_not_commit(root: Path) -> None:
    with pytest.raises(PinBroken), uploading(opened(root)) as upload:
        put(upload, "q")
        pins(root, WRITING)[0].path.unlink()
        upload.commit(opened(root).manifest(opened(root).versions(PARCEL)[1]))
    assert words(root) == {1: "axyz"}


def test_while_a_version_cannot_be_read_nothing_is_deleted(root: Path) -> None:
    name = opened(root).versions(PARCEL)[1]
    content = opened(root).path("manifests", name).read_bytes()
    opened(root).path("manifests", name).write_bytes(content[:-1])
    before = packs_in(root)
    with pytest.raises(DamagedManifest):
        collect(opened(root))
    assert packs_in(root) == before


def test_a_version_whose_number_got_lost_keeps_what_it_needs(root: Path) -> None:
    (root / "versions" / PARCEL / "0000000001").rename(root / "aside")
    collect(opened(root))
    (root / "aside").rename(root / "versions" / PARCEL / "0000000001")
    assert words(root) == {1: "axyz"}


def test_damaged_packs_and_manifests_are_left_to_be_salvaged(root: Path) -> None:
    pack = packs_in(root)[0]
    pack.write_bytes(pack.read_bytes()[:-1])
    (stray,) = [name for name in opened(root).manifests() if name != opened(root).versions(PARCEL)[1]]
    opened(root).path("manifests", stray).write_bytes(b"no manifest")
    result = collect(opened(root))
    assert pack.exists() and {pack.name, stray} == set(result.unreadable)


def test_a_needed_chunk_whose_other_copy_is_damaged_keeps_its_pack(tmp_path: Path) -> None:
    root = made(tmp_path / "repository", "abc")
    (whole,) = packs_in(root)
    hidden = whole.rename(tmp_path / "hidden")
    write(root, "abc", keyframe=True)
    (copy,) = packs_in(root)
    hidden.rename(whole)
    content = bytearray(copy.read_bytes())
    content[64 + 96 + 20] ^= 1
    copy.write_bytes(bytes(content))
    new_doom(root, opened(root).staging, frozenset({PackName(whole.name)}), frozenset())
    collect(opened(root))
    assert whole.exists()


def test_marks_that_cannot_be_read_stop_writers_and_are_taken_back_by_the_collector(root: Path) -> None:
    (root / MARKS / "doomed-0123").write_bytes(b"{")
    with pytest.raises(DamagedMarks), uploading(opened(root)):
        pass
    assert not pins(root)
    assert any("marks" in finding for finding in verify(root, DOMAIN).findings)
    collect(opened(root))
    write(root, "after")


def test_the_newest_version_cannot_be_forgotten_and_what_others_forgot_is_gone_as_it_should_be(root: Path) -> None:
    with pytest.raises(BadInput, match="newest"):
        forget(root, [1])
    forget(root, [0, 2])
    assert words(root) == {1: "axyz"}


def test_a_reader_who_looked_before_finds_what_was_rewritten(root: Path) -> None:
    reader = opened(root)
    chunk_id = DOMAIN.chunk_id(b"a" * 4096)
    reader.places()
    collect(opened(root))
    assert reader.get(chunk_id) == b"a" * 4096


def test_where_several_packs_have_a_chunk_the_fullest_keeps_it() -> None:
    def table(letters: str) -> list[Entry]:
        return [Entry(ChunkId(letter.encode() * 32), 0, 1, 64, 100, b"") for letter in letters]

    tables = {PackName("1"): table("abcd"), PackName("2"): table("ab"), PackName("3"): table("xyz")}
    living = {ChunkId(letter * 32) for letter in (b"a", b"b", b"x")}
    plan = planned(tables, living, 0.5)
    assert plan.needless == ("1",)
    assert [entry.chunk_id[:1] for entry in plan.rewritten[PackName("3")]] == [b"x"]


def test_a_file_system_that_can_neither_rename_without_replacing_nor_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(_old: Path, _new: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    root = made(tmp_path / "repository", "ab")
    monkeypatch.setattr(placing, "renameat2_noreplace", lambda _old, _new: errno.EINVAL)
    write(root, "cd")  # by link, as on NFS
    monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(RepositoryFailed, match="neither"):
        write(root, "ef")
    assert words(root) == {0: "ab", 1: "cd"}


def test_a_link_whose_answer_got_lost_is_no_other_ones_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def link_twice(old: Path, new: Path) -> None:
        link(old, new)
        link(old, new)  # asked again, as NFS does

    root = made(tmp_path / "repository", "ab")
    monkeypatch.setattr(placing, "renameat2_noreplace", lambda _old, _new: errno.EINVAL)
    monkeypatch.setattr(os, "link", link_twice)
    write(root, "cd")
    assert words(root) == {0: "ab", 1: "cd"} and not list((root / ".staged").iterdir())


def test_a_pin_tells_who_holds_it(tmp_path: Path) -> None:
    Repository.create(tmp_path / "r", DOMAIN)
    with pinned(tmp_path / "r") as pin:
        assert pins(tmp_path / "r") == [Pin(tmp_path / "r", WRITING, pin.pin_id, this_process())]
        assert not marks.is_gone(this_process())
