"""Stretches of a file, from a first byte to before a last: joined, taken away from each other, cut into pieces.

A list of spans is in order, and no two of them touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Span = tuple[int, int]


def union(*lists: Iterable[Span]) -> list[Span]:
    """What lies in any of the lists, which need not be in order here."""
    joined: list[Span] = []
    for start, end in sorted(span for spans in lists for span in spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif start < end:
            joined.append((start, end))
    return joined


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What lies in ``spans`` and not in ``taken``."""
    left: list[Span] = []
    rest = iter(taken)
    hole = next(rest, None)
    for start, end in spans:
        position = start
        while hole and hole[0] < end:
            if hole[0] > position:
                left.append((position, hole[0]))
            position = max(position, hole[1])
            if hole[1] >= end:  # it may reach into the next span
                break
            hole = next(rest, None)
        if position < end:
            left.append((position, end))
    return left


def both(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """What lies in both."""
    spans = list(spans)
    return without(spans, without(spans, others))


def pieces(spans: Iterable[Span], most_bytes: int) -> Iterator[Span]:
    """The same, none longer than that."""
    for start, end in spans:
        for at in range(start, end, most_bytes):
            yield at, min(end, at + most_bytes)


def bytes_in(spans: Iterable[Span]) -> int:
    """How many bytes they hold."""
    return sum(end - start for start, end in spans)
