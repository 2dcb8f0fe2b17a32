"""Reading a serial port's log while it grows."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from builder.pc.serial_log import SerialLog

SAID = "\x1b[2J\x1b[01;01H\x1b[=3hGRUB ü\r\n\x1b]0;title\x07ok \x1b(B\x1b[0;32m[  OK  ]\x1b[0m\r\n".encode()
READ = "GRUB ü\nok [  OK  ]\n"


def grow(content: bytes, cuts: list[int]) -> list[str]:
    """What is read each time when the log grows piece by piece."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "serial.log"
        log = SerialLog(path)
        texts = [log.text()]
        edges = [0, *sorted(cuts), len(content)]
        for start, end in itertools.pairwise(edges):
            with path.open("ab") as file:
                file.write(content[start:end])
            texts.append(log.text())
        return texts


@given(st.lists(st.integers(0, len(SAID)), max_size=8))
@example(list(range(len(SAID))))
def test_text_is_the_same_however_the_log_grew(cuts: list[int]) -> None:
    assert grow(SAID, cuts)[-1] == READ


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_text_only_ever_grows(content: bytes, cuts: list[int]) -> None:
    texts = grow(content, [min(cut, len(content)) for cut in cuts])
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


def test_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert SerialLog(tmp_path / "serial.log").text() == ""


def test_tail_skips_empty_lines_and_cuts_long_ones(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("first\n\nsecond\n   \n" + "x" * 5000 + "\n")
    tail = SerialLog(path).tail(2).splitlines()
    assert tail[0] == "second" and tail[1] == "x" * len(tail[1]) and len(tail[1]) < 1000
