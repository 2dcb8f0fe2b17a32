"""What is lost, for people: versions, images, byte ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lookaside.verifying import Incomplete
from soulpad.base.spans import Span, bytes_in
from soulpad.base.units import format_bytes

MOST_RANGES = 8


def incomplete_in_words(lost: Incomplete) -> Iterator[str]:
    """A line for the version and one for each image."""
    yield f"version {lost.number} of parcel {lost.parcel}: {lost.what}"
    for image, spans in lost.lost.items():
        yield f"  {image}: {spans_in_words(spans)}"


def spans_in_words(spans: Sequence[Span]) -> str:
    """How much is lost, and where."""
    ranges = ", ".join(f"{start}-{end}" for start, end in spans[:MOST_RANGES])
    more = f" and {len(spans) - MOST_RANGES} more" if len(spans) > MOST_RANGES else ""
    return f"{format_bytes(bytes_in(spans))} lost, bytes {ranges}{more}"
