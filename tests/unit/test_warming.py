"""What is read of the host while the passphrase is typed: in which order, how much, and until when."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from soulpad.session import warming
from soulpad.session.warming import BLOCK_BYTES, affordable_bytes, wanted_files, warm, while_asking
from tests.unit.test_elf import program

QEMU = "usr/bin/qemu-system-x86_64"
CRYPTSETUP = "usr/sbin/cryptsetup"
VIEWER = "usr/bin/cage"
FIRST, SECOND = (f"{warming.LIBRARIES}/{name}" for name in ("libfirst.so.1", "libsecond.so.2"))


def put(root: Path, name: str, content: bytes = b"plain") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def names(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in wanted_files(root)]


def test_files_come_in_the_order_of_need_and_each_library_with_what_first_needs_it(tmp_path: Path) -> None:
    for name in (QEMU, VIEWER):
        put(tmp_path, name, program())
    for name in (CRYPTSETUP, SECOND, "usr/share/seabios/bios-256k.bin", "usr/bin/not-wanted"):
        put(tmp_path, name)
    put(tmp_path, FIRST, program())
    assert names(tmp_path) == [CRYPTSETUP, QEMU, FIRST, SECOND, "usr/share/seabios/bios-256k.bin", VIEWER]


def test_a_library_in_a_folder_of_the_programs_own_is_found_there(tmp_path: Path) -> None:
    put(tmp_path, QEMU, program())
    put(tmp_path, "opt/other/libsecond.so.2")
    assert names(tmp_path) == [QEMU, "opt/other/libsecond.so.2"]


def test_a_host_without_any_of_it_is_no_error(tmp_path: Path) -> None:
    assert warm(tmp_path, BLOCK_BYTES, threading.Event()) == 0


def test_an_empty_or_damaged_program_is_read_and_links_nothing(tmp_path: Path) -> None:
    put(tmp_path, QEMU, b"")
    put(tmp_path, VIEWER, program()[:200])
    assert names(tmp_path) == [QEMU, VIEWER]


def test_everything_is_read_where_there_is_memory_for_it(tmp_path: Path) -> None:
    put(tmp_path, CRYPTSETUP, bytes(3 * BLOCK_BYTES + 1))
    put(tmp_path, QEMU, bytes(17))
    assert warm(tmp_path, 1 << 30, threading.Event()) == 3 * BLOCK_BYTES + 18


def test_reading_ends_with_the_block_that_reaches_the_budget(tmp_path: Path) -> None:
    put(tmp_path, CRYPTSETUP, bytes(10 * BLOCK_BYTES))
    assert warm(tmp_path, 2 * BLOCK_BYTES - 1, threading.Event()) == 2 * BLOCK_BYTES
    assert warm(tmp_path, 0, threading.Event()) == 0


def test_reading_ends_when_it_is_told_to(tmp_path: Path) -> None:
    put(tmp_path, CRYPTSETUP, bytes(10 * BLOCK_BYTES))
    stopping = threading.Event()
    stopping.set()
    assert warm(tmp_path, 1 << 30, stopping) == 0


def test_a_pc_with_too_little_memory_is_not_warmed() -> None:
    assert affordable_bytes(300) == affordable_bytes(warming.KEPT_FREE_MIB) == 0
    assert affordable_bytes(warming.KEPT_FREE_MIB + 100) == 50 << 20


def test_warming_ends_with_the_asking_even_when_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def endless(_root: Path, _budget_bytes: int, stopping: threading.Event) -> int:
        stopping.wait()
        ended.set()
        return 0

    monkeypatch.setattr(warming, "warm", endless)
    with pytest.raises(KeyboardInterrupt), while_asking(tmp_path):
        raise KeyboardInterrupt
    assert ended.wait(60)


def test_a_failure_of_warming_is_nobodys_concern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def broken(_root: Path, _budget_bytes: int, _stopping: threading.Event) -> int:
        failed.set()
        raise OSError("the stick was pulled out")

    monkeypatch.setattr(warming, "warm", broken)
    with while_asking(tmp_path):
        assert failed.wait(60)
