"""Files that survive a power cut: the old one or the new one, never a mixture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soulpad.base.durable import fsync_path, replace_durably, write_durably


class PowerCut(BaseException):
    """Nothing may catch it."""


def test_a_file_is_written_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "current"
    write_durably(path, b"1\n")
    write_durably(path, b"22\n")
    assert path.read_bytes() == b"22\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cut_before_the_rename_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_arguments: object) -> Path:
        raise PowerCut

    path = tmp_path / "current"
    write_durably(path, b"old")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(Path, "replace", cut)
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    write_durably(path, b"newer")
    assert path.read_bytes() == b"newer" and list(tmp_path.iterdir()) == [path]


def test_a_cut_while_writing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_descriptor: int) -> None:
        raise PowerCut

    path = tmp_path / "current"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", cut)
    with pytest.raises(PowerCut):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"


def test_the_bytes_are_durable_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        order.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink()}")
        fsync(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write_durably(tmp_path / "name", b"content")
    assert order == [f"fsync {tmp_path}/.name.partial", "rename", f"fsync {tmp_path}"]


def test_a_file_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    write_durably(tmp_path / "secret", b"", 0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_staged_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "staged").write_bytes(b"new")
    replace_durably(tmp_path / "staged", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"new" and not (tmp_path / "staged").exists()


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        write_durably(tmp_path / "file", b"x")
        fsync_path(tmp_path)
        with pytest.raises(FileNotFoundError):
            fsync_path(tmp_path / "none")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
