"""The list of a file's blocks as a B-tree: whatever the bytes are, it ends, and what makes no sense is said."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.store.xfsbtree import leaf_records
from soulpad.base.errors import StoreDamaged

BLOCK_BYTES = 512
ROOM = (BLOCK_BYTES - 72) // 16


def leaf(*records: bytes) -> bytes:
    return node(0, len(records), b"".join(records))


def inner(level: int, *numbers: int) -> bytes:
    return node(level, len(numbers), bytes(ROOM * 8) + b"".join(number.to_bytes(8, "big") for number in numbers))


def node(level: int, count: int, rest: bytes) -> bytes:
    return (b"BMA3" + level.to_bytes(2, "big") + count.to_bytes(2, "big") + bytes(64) + rest).ljust(BLOCK_BYTES, b"\0")


def root(level: int, *numbers: int) -> bytes:
    """A root in a fork of 336 bytes: room for 20."""
    head = level.to_bytes(2, "big") + len(numbers).to_bytes(2, "big")
    return (head + bytes(160) + b"".join(number.to_bytes(8, "big") for number in numbers)).ljust(336, b"\0")


def records(fork: bytes, blocks: dict[int, bytes]) -> list[bytes]:
    return list(leaf_records(fork, lambda number: blocks.get(number, b"")))


A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


def test_records_come_in_the_order_of_the_tree() -> None:
    blocks = {7: inner(1, 30, 20), 9: inner(1, 10), 30: leaf(A), 20: leaf(B), 10: leaf(C)}
    assert records(root(2, 7, 9), blocks) == [A, B, C]
    assert records(root(1, 30), blocks) == [A]


@pytest.mark.parametrize(
    ("fork", "blocks"),
    [
        (root(0), {}),
        (root(10, 7), {}),
        (b"", {}),
        (root(1, 7), {}),
        (root(1, 7), {7: inner(1, 8)}),
        (root(1, 7), {7: leaf(A)[:40]}),
        (root(1, 7), {7: node(0, 500, b"")}),
        (root(2, 7), {7: node(1, 500, b"")}),
        (root(1, 7, 7), {7: leaf(A)}),
        (root(3, 7), {7: inner(2, 7)}),
        (root(1, 7), {7: b"XXXX" + leaf(A)[4:]}),
    ],
)
def test_a_tree_that_makes_no_sense_is_said_to_be_damaged(fork: bytes, blocks: dict[int, bytes]) -> None:
    with pytest.raises(StoreDamaged):
        records(fork, blocks)


@given(st.data())
def test_a_tree_of_any_nodes_comes_to_an_end(data: st.DataObject) -> None:
    numbers = st.lists(st.integers(0, 9), max_size=ROOM)
    nodes = st.one_of(
        st.binary(max_size=BLOCK_BYTES),
        st.builds(lambda level, below: inner(level, *below), st.integers(0, 8), numbers),
        st.just(leaf(A)),
    )
    blocks = dict(enumerate(data.draw(st.lists(nodes, min_size=10, max_size=10))))
    fork = data.draw(st.one_of(st.binary(), numbers.map(lambda below: root(9, *below))))
    with suppress(StoreDamaged):
        assert len(records(fork, blocks)) <= 300
