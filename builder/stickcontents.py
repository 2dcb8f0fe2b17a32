"""What goes onto a device when an image is written to it, as pieces of bytes with their offsets.

Writing and verifying go through the same pieces: one writes each, the other reads and compares each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from builder.partitions import Layout, grown, read_layout, relabel
from builder.rawdevice import BUFFER_BYTES, aligned_buffer
from builder.writeplan import Span, WritePlan, data_spans, pieces, plan
from soulpad.base.errors import BadImage
from soulpad.base.units import MIB
from soulpad.store.stick import PAYLOAD_OFFSET_BYTES

# What of a disk's either end is written on its own: the partition tables, and whatever else is looked for there.
END_BYTES = MIB


class Piece(NamedTuple):
    """Bytes for the device, page-aligned in memory. ``content`` is valid until the next piece is asked for."""

    offset_bytes: int
    content: memoryview


@dataclass(frozen=True)
class StickContents:
    """All that one device will hold. ``near`` and ``far``: its first and last MiB, with the partition tables."""

    image: Path
    source: int
    plan: WritePlan
    near: Piece
    far: Piece

    def body(self) -> Iterator[Piece]:
        """Everything between the two ends."""
        buffer, zeros = aligned_buffer(), aligned_buffer()
        for span in pieces(self.plan.copies, BUFFER_BYTES):
            content = buffer[: span.length_bytes]
            self._fill(content, span.start)
            yield Piece(span.start, content)
        for span in pieces(self.plan.zeros, BUFFER_BYTES):
            yield Piece(span.start, zeros[: span.length_bytes])

    def _fill(self, target: memoryview, offset_bytes: int) -> None:
        try:
            count = os.preadv(self.source, [target], offset_bytes)
        except OSError as error:
            raise BadImage(f"{self.image} cannot be read at byte {offset_bytes}: {error.strerror}") from None
        if count != len(target):
            raise BadImage(f"{self.image} ends at byte {offset_bytes + count}", "is something writing to it?")


def checked_image(image: Path) -> Layout:
    """The layout of a whole image of ours; raises BadImage."""
    if not image.is_file():
        state = "is not a file" if image.exists() else "does not exist"
        raise BadImage(f"{image} {state}", "name an image made by: soulpad create")
    try:
        return read_layout(image)
    except OSError as error:
        raise BadImage(f"{image} cannot be read: {error.strerror}", "name an image that you may read") from None


@contextmanager
def stick_contents(image: Path, layout: Layout, device_bytes: int, sector_bytes: int) -> Iterator[StickContents]:
    """What a device of this size shall hold."""
    source = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        larger = grown(layout, device_bytes)
        near, far = _ends(source, larger, sector_bytes)
        yield StickContents(image, source, _plan(source, layout), near, far)
    finally:
        os.close(source)


def erased_ends(device_bytes: int) -> tuple[Piece, Piece]:
    """Zeros for both ends of a device."""
    zeros = aligned_buffer(END_BYTES)
    return Piece(0, zeros), Piece(device_bytes - END_BYTES, zeros)


def _ends(source: int, layout: Layout, sector_bytes: int) -> tuple[Piece, Piece]:
    """The image's own first MiB with a table for this very device, and the device's last MiB.

    They are made in a sparse file in memory, by the same function that writes tables to images.
    """
    scratch = os.memfd_create("soulpad-tables")
    try:
        os.truncate(scratch, layout.total_bytes)
        os.pwrite(scratch, os.pread(source, END_BYTES, 0), 0)
        relabel(Path(f"/proc/self/fd/{scratch}"), layout, sector_bytes)
        return _piece(scratch, 0), _piece(scratch, layout.total_bytes - END_BYTES)
    finally:
        os.close(scratch)


def _piece(descriptor: int, offset_bytes: int) -> Piece:
    content = aligned_buffer(END_BYTES)
    os.preadv(descriptor, [content], offset_bytes)
    return Piece(offset_bytes, content)


def _plan(source: int, layout: Layout) -> WritePlan:
    body = Span(END_BYTES, layout.of("parcels").end_bytes)
    return plan(data_spans(source, layout.total_bytes), solid_regions(layout), file_systems(layout), body)


def solid_regions(layout: Layout) -> list[Span]:
    """Where every hole of the image matters (builder.writeplan)."""
    bios, parcels = layout.of("bios"), layout.of("parcels")
    header_end = min(parcels.offset_bytes + PAYLOAD_OFFSET_BYTES, parcels.end_bytes)
    return [Span(bios.offset_bytes, bios.end_bytes), Span(parcels.offset_bytes, header_end)]


def file_systems(layout: Layout) -> list[Span]:
    """Where holes matter but for free space at the end (builder.writeplan)."""
    return [Span(layout.of(role).offset_bytes, layout.of(role).end_bytes) for role in ("esp", "host-a", "host-b")]
