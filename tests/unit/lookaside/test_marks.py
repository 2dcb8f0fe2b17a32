"""Marks: what is written is read back, and anything else ends in a line or in somebody unknown, never in a crash."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookaside.errors import DamagedMarks
from lookaside.manifest import VersionName
from lookaside.marks import MARKS, Doom, doomed_now, dooms, holder_in, is_gone, pinned, pins, this_process
from lookaside.pack import PackName

NAMES = st.frozensets(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=3)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["packs", "manifests", "awaits", "boot", "pid"]), inner)
    ),
    max_leaves=8,
)


@given(NAMES, NAMES, st.none() | NAMES)
def test_a_doom_is_read_back(packs: frozenset[str], manifests: frozenset[str], awaits: frozenset[str] | None) -> None:
    doom = Doom("0", frozenset(map(PackName, packs)), frozenset(map(VersionName, manifests)), awaits)
    assert Doom.decode("0", doom.encode()) == doom


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_doom_ends_in_a_line(content: bytes) -> None:
    with suppress(DamagedMarks):
        assert isinstance(Doom.decode("0", content), Doom)


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_holder_is_nobody_known(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "writing-0"
        path.write_bytes(content)
        assert not is_gone(holder_in(path))


def test_a_doom_that_ends_while_it_is_looked_for_is_none(tmp_path: Path) -> None:
    (tmp_path / MARKS).mkdir()
    (tmp_path / MARKS / "doomed-0").symlink_to("nowhere")
    assert dooms(tmp_path) == [] and not doomed_now(tmp_path).anything


def test_a_repository_made_before_there_were_marks_has_none(tmp_path: Path) -> None:
    assert pins(tmp_path) == [] and dooms(tmp_path) == []
    with pinned(tmp_path) as pin:
        assert [found.pin_id for found in pins(tmp_path)] == [pin.pin_id]
    assert pins(tmp_path) == []


def test_a_later_process_of_the_same_id_is_another_one() -> None:
    me = this_process()
    assert not is_gone(me)
    assert is_gone(type(me)(me.boot, me.pids, os.getpid(), me.began + 1, me.host))


def test_a_pin_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / MARKS).write_text("a file where a folder should be")
    with pytest.raises(OSError), pinned(tmp_path):
        pass
