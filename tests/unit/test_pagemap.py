"""What a process has mapped of a file: read from its maps, and asked of this machine's kernel about this process."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from soulpad.session.pagemap import Mapping, cpu_seconds, mapped_runs, mappings_of, process_that_maps
from soulpad.store.workingset import PAGE_BYTES

MAPS = """\
55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000400000 rw-s 00000000 fe:03 131                        /run/store/live/ram.img
7f0000400000-7f0000800000 rw-s 00400000 fe:03 131                        /run/store/live/ram.img
7f0000800000-7f0000801000 r--p 00000000 fe:03 132                        /run/store/live/ram.img.old
7f0000900000-7f0000901000 r--p 00000000 fe:03 133                        /run/a folder/ram.img (deleted)
"""


def test_every_part_of_a_file_is_found_with_its_place_in_the_file() -> None:
    assert mappings_of(MAPS, Path("/run/store/live/ram.img")) == [
        Mapping(0x7F0000000000, 0x7F0000400000, 0),
        Mapping(0x7F0000400000, 0x7F0000800000, 0x400000),
    ]


def test_a_file_of_a_name_that_only_begins_alike_is_another_one() -> None:
    assert mappings_of(MAPS, Path("/run/store/live/ram")) == []


def test_only_pages_that_were_touched_are_told(tmp_path: Path) -> None:
    pages = 4096
    path = tmp_path / "ram.img"
    with path.open("w+b") as file:
        file.truncate(pages * PAGE_BYTES)
        with mmap.mmap(file.fileno(), 0) as memory:
            assert told(path) == set()
            for page in (0, 1000, 1001, pages - 1):  # a write maps its own page alone
                memory[page * PAGE_BYTES] = 1
            assert told(path) == {0, 1000, 1001, pages - 1}


def test_pages_keep_their_place_in_the_file_where_only_a_part_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "ram.img"
    with path.open("w+b") as file:
        file.truncate(64 * PAGE_BYTES)
        with mmap.mmap(file.fileno(), 32 * PAGE_BYTES, offset=32 * PAGE_BYTES) as memory:
            memory[3 * PAGE_BYTES] = 1
            assert told(path) == {35}


def told(path: Path) -> set[int]:
    try:
        runs = mapped_runs(os.getpid(), path)
    except OSError as error:
        if error.errno == errno.ENOTTY:
            pytest.skip("this kernel is older than 6.7 and cannot tell")
        raise
    return {page for run in runs for page in range(run.first, run.first + run.pages)}


def test_the_process_is_found_by_its_name_and_by_what_it_maps(tmp_path: Path) -> None:
    mapped, other = Path("/run/store/live/ram.img"), Path("/run/store/other.img")
    for number, (name, maps) in enumerate([("bash\n", MAPS), ("qemu-system-x86\n", ""), ("qemu-system-x86\n", MAPS)]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "comm").write_text(name)
        (tmp_path / str(number) / "maps").write_text(maps)
    (tmp_path / "9").mkdir()  # it has just ended
    (tmp_path / "self").mkdir()
    assert process_that_maps(mapped, "qemu-system", tmp_path) == 2
    assert process_that_maps(other, "qemu-system", tmp_path) is None


def test_a_process_that_has_ended_is_an_error_and_no_empty_answer(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        mapped_runs(1, tmp_path / "ram.img", tmp_path)


def test_processor_time_is_read_past_a_name_with_blanks_and_brackets(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (a) b (c) R 1 7 7 0 -1 0 10 0 0 0 250 99 0 0 20 0\n")
    assert cpu_seconds(7, tmp_path) == 250 / os.sysconf("SC_CLK_TCK")
