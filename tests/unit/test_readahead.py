"""How much is read around a fault: which value the store has when, and whose open file takes it over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soulpad.session import volume
from soulpad.session.readahead import precise, take_over


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store's, instead of a disk's of this machine."""
    path = tmp_path / "read_ahead_kb"
    path.write_text("unset")
    monkeypatch.setattr(volume, "read_ahead_file", lambda: path)
    return path


def test_beside_a_known_set_what_is_opened_is_read_page_by_page_and_later_as_before(setting: Path) -> None:
    with precise(known=True):
        assert setting.read_text() == "4"
    assert setting.read_text() == str(volume.READ_AHEAD_KIB)


def test_a_first_resume_reads_more_at_a_time_than_pages_and_less_than_a_session(setting: Path) -> None:
    with precise(known=False):
        assert 4 < int(setting.read_text()) < volume.READ_AHEAD_KIB
    assert setting.read_text() == str(volume.READ_AHEAD_KIB)


def test_the_store_has_its_value_again_after_a_failure(setting: Path) -> None:
    with pytest.raises(KeyboardInterrupt), precise(known=True):
        raise KeyboardInterrupt
    assert setting.read_text() == str(volume.READ_AHEAD_KIB)


def test_a_store_that_is_no_mapped_volume_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(volume, "read_ahead_file", lambda: tmp_path / "queue" / "read_ahead_kb")
    with precise(known=True):
        pass
    assert not list(tmp_path.iterdir())


def test_the_value_is_given_to_the_very_file_that_the_process_holds_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ram.img"
    path.write_bytes(bytes(100))
    advised: list[tuple[int, int]] = []

    def note(descriptor: int, _offset: int, _length: int, advice: int) -> None:
        advised.append((os.lseek(descriptor, 0, os.SEEK_CUR), advice))

    monkeypatch.setattr(os, "posix_fadvise", note)
    with path.open("rb", buffering=0) as held:
        held.seek(42)
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
        assert take_over(os.getpid(), path)
        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert advised == [(42, os.POSIX_FADV_NORMAL)], "the position tells the open file from another opening of it"


def test_a_file_that_the_process_does_not_hold_cannot_be_had(tmp_path: Path) -> None:
    assert not take_over(os.getpid(), tmp_path / "ram.img")


def test_of_a_process_that_has_ended_nothing_can_be_had(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert not take_over(child, tmp_path / "ram.img")
