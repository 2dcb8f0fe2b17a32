"""Clones where the file system has no reflink, and what goes wrong with them."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from soulpad.base import reflink
from soulpad.base.errors import NoSpace
from soulpad.base.reflink import clone


def refuse_with(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def ioctl(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


@pytest.mark.parametrize("number", sorted(reflink.NOT_HERE))
def test_where_there_is_no_reflink_the_bytes_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_with(monkeypatch, number)
    (tmp_path / "source").write_bytes(b"all of it" * 1000)
    clone(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"all of it" * 1000


def test_a_copy_keeps_holes_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_with(monkeypatch, errno.EOPNOTSUPP)
    with (tmp_path / "source").open("wb") as file:
        file.write(b"start")
        file.truncate(64 << 20)
    clone(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").stat().st_size == 64 << 20
    assert (tmp_path / "target").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("reflinks", [True, False])
def test_nothing_of_a_longer_file_under_the_name_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reflinks: bool
) -> None:
    if not reflinks:
        refuse_with(monkeypatch, errno.EOPNOTSUPP)
    (tmp_path / "source").write_bytes(b"short")
    (tmp_path / "target").write_bytes(b"something longer that was there before")
    clone(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"short"


def test_an_empty_file_has_an_empty_clone(tmp_path: Path) -> None:
    (tmp_path / "source").touch()
    clone(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPERM])
def test_what_has_another_reason_is_no_reason_to_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_with(monkeypatch, number)
    monkeypatch.setattr(reflink, "run", lambda *_arguments: pytest.fail("copied"))
    (tmp_path / "source").write_bytes(b"bytes")
    with pytest.raises(OSError, match=os.strerror(number)):
        clone(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "source").read_bytes() == b"bytes"


def test_a_missing_source_makes_no_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        clone(tmp_path / "source", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_for_which_there_is_no_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_argv: object) -> None:
        raise NoSpace("cp: no space left on the disk")

    refuse_with(monkeypatch, errno.EOPNOTSUPP)
    monkeypatch.setattr(reflink, "run", full)
    (tmp_path / "source").write_bytes(b"bytes")
    with pytest.raises(NoSpace):
        clone(tmp_path / "source", tmp_path / "target")


def test_a_clone_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        clone(tmp_path / "source", tmp_path / f"target-{number}")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
