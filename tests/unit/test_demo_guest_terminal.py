"""The demo guest's terminals and its screen."""

from __future__ import annotations

import os
import select
import tty
from pathlib import Path
from typing import Any

import pytest

from tests.unit.demo_program import module

# --- the terminals


@pytest.mark.parametrize(
    ("keys", "lines", "typed"),
    [
        (b"verify\r", ["verify"], ""),
        (b"a\nb\r\nc", ["a", "b"], "c"),
        (b"vax\x7f\x7ferify\n", ["verify"], ""),
        (b"nonsense\x15status\n", ["status"], ""),
        (b"\x1b[A\x1b[3~\x1b[[Bx\n", ["x"], ""),
        ("grüß".encode(), [], "grüß"),
        (b"\x00\x01\n", [], ""),
    ],
)
def test_keys_become_lines_as_a_person_means_them(keys: bytes, lines: list[str], typed: str) -> None:
    taker = module("wires").Lines()
    assert taker.feed(keys) == lines
    assert taker.typed == typed


def test_a_line_that_arrives_in_pieces_is_one_line() -> None:
    taker = module("wires").Lines()
    assert taker.feed(b"ver") == []
    assert taker.feed(b"ify\n") == ["verify"]


def test_a_serial_port_without_reader_neither_blocks_nor_tears_a_line() -> None:
    ours, theirs = os.openpty()
    tty.setraw(ours)
    wire = module("wires").Wire(theirs)
    line = b"x" * 999 + b"\n"
    for _ in range(200):
        wire.write(line)
    assert wire.waiting
    wire_end = b"the last one\n"
    received = b""
    while not received.endswith(b"the last one\n"):
        if select.select([ours], [], [], 0.05)[0]:
            received += os.read(ours, 65536)
        wire.flush()
        if not wire.waiting and wire_end:
            wire.write(wire_end)
            wire_end = b""
    lines = received.splitlines()
    assert len(lines) < 200
    assert set(lines) == {b"x" * 999, b"the last one"}


def test_a_missing_serial_port_is_silent(tmp_path: Path) -> None:
    wire = module("wires").open_wire(str(tmp_path / "ttyS0"))
    wire.write(b"hello\n")
    assert not wire.there


# --- the screen


def seen(*paintings: bytes) -> list[str]:
    pyte = pytest.importorskip("pyte")
    screen = pyte.Screen(100, 30)
    for painting in paintings:
        pyte.ByteStream(screen).feed(painting)
    return [line.strip() for line in screen.display if line.strip()]


def view_of(**values: object) -> Any:
    view = module("screen").View()
    for name, value in values.items():
        setattr(view, name, value)
    return view


def test_the_screen_says_what_a_person_wants_to_know() -> None:
    screen = module("screen")
    view = view_of(boot_id="b00t", pattern_mib=200, pattern_goal_mib=200, passes=3, letter_found=True, up_seconds=3661)
    text = "\n".join(seen(screen.Painter().paint(screen.draw(view), 100, 30)))
    for words in ("b00t", "200 MiB, every byte as it was: verified 3 times", "as it was written", "up 01:01:01"):
        assert words in text


def test_the_screen_says_it_loudly_when_memory_is_not_what_it_was() -> None:
    screen = module("screen")
    text = "\n".join(seen(screen.Painter().paint(screen.draw(view_of(pattern_ok=False)), 100, 30)))
    assert "NOT WHAT IT WAS" in text


def test_the_screen_claims_nothing_before_the_first_full_check() -> None:
    screen = module("screen")
    view = view_of(pattern_mib=200, pattern_goal_mib=200, passes=0)
    text = "\n".join(seen(screen.Painter().paint(screen.draw(view), 100, 30)))
    assert "200 MiB filled, not verified yet" in text
    assert "as it was:" not in text


def test_a_second_later_only_what_changed_is_drawn() -> None:
    screen = module("screen")
    painter = screen.Painter()
    first = painter.paint(screen.draw(view_of(counter=10, message="m")), 100, 30)
    second = painter.paint(screen.draw(view_of(counter=11, message="m")), 100, 30)
    assert len(second) < len(first) / 6
    both = seen(first, second)
    assert both == seen(screen.Painter().paint(screen.draw(view_of(counter=11, message="m")), 100, 30))
    assert painter.paint(screen.draw(view_of(counter=11, message="m")), 100, 30) == b""


def test_a_terminal_of_another_size_is_drawn_anew() -> None:
    screen = module("screen")
    painter = screen.Painter()
    lines = screen.draw(view_of())
    painter.paint(lines, 80, 25)
    assert b"\x1b[2J" in painter.paint(lines, 160, 50)


def test_the_screen_fits_the_oldest_console() -> None:
    screen = module("screen")
    assert len(screen.draw(view_of())) <= 25
    assert screen.WIDTH < 80
    assert all(len(row) == screen.WIDTH for row in screen.big(12345))
