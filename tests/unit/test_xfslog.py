"""The end of an XFS's log: found after it went round, and not mistaken for what a cut left."""

from __future__ import annotations

import pytest

from builder.store.xfslog import BLOCK_BYTES, was_unmounted

BLOCKS = 64


def header(cycle: int, block: int, operations: int) -> bytes:
    """A record's first block."""
    start = b"\xfe\xed\xba\xbe" + b"".join(number.to_bytes(4, "big") for number in (cycle, 2, 512, cycle, block))
    return start.ljust(40, b"\0") + operations.to_bytes(4, "big") + bytes(276) + (32768).to_bytes(4, "big") + bytes(188)


def data(cycle: int, flags: int) -> bytes:
    """A data block that begins with one operation."""
    return (cycle.to_bytes(4, "big") + bytes(5) + bytes([flags])).ljust(BLOCK_BYTES, b"\0")


def ends_unmounted(*parts: tuple[int, bytes]) -> bool:
    """Whether a log with these blocks at these places does."""
    blocks = [bytes(BLOCK_BYTES)] * BLOCKS
    for at, content in parts:
        blocks[at] = content
    log = b"".join(blocks)
    return was_unmounted(lambda at, count: log[at : at + count], len(log))


UNMOUNTED, ORDINARY = 0x20, 0x10


def test_the_last_record_says_it() -> None:
    mount = (0, header(1, 0, 7)), (1, data(1, ORDINARY))
    end = (2, header(1, 2, 1)), (3, data(1, UNMOUNTED))
    assert ends_unmounted(*mount, *end)
    assert not ends_unmounted(*mount)
    assert not ends_unmounted(*end, (4, header(1, 4, 3)), (5, data(1, ORDINARY)))


def test_a_log_that_went_round_ends_before_older_records() -> None:
    older = (20, header(4, 20, 1)), (21, data(4, UNMOUNTED))
    assert not ends_unmounted((10, header(5, 10, 3)), (11, data(5, ORDINARY)), *older)
    last_block = (BLOCKS - 1, header(4, BLOCKS - 1, 1))
    assert ends_unmounted(last_block, (0, data(4, UNMOUNTED)))


@pytest.mark.parametrize("rest", [data(3, UNMOUNTED), bytes(BLOCK_BYTES)])
def test_a_mark_that_was_cut_off_in_mid_record_is_none(rest: bytes) -> None:
    assert not ends_unmounted((2, header(4, 2, 1)), (3, rest))


def test_a_log_without_records_is_no_clean_one() -> None:
    assert not ends_unmounted()
    assert not was_unmounted(lambda at, count: b"", 0)
