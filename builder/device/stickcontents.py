"""What goes onto a device when an image is written to it, as pieces of bytes with their offsets.

Writing and verifying go through the same pieces: one writes each, the other reads and compares each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from builder.device.espcopy import copy_esp, fat_sector_bytes
from builder.device.rawdevice import BUFFER_BYTES, aligned_buffer
from builder.device.writeplan import Span, WritePlan, clipped, data_spans, pieces, plan, widened
from builder.disk.partitions import Layout, grown, read_layout, relabel
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
class Source:
    """An open file that gives what lies within ``span``."""

    path: Path
    descriptor: int
    span: Span


@dataclass(frozen=True)
class StickContents:
    """All that one device will hold. ``near`` and ``far``: its first and last MiB, with the partition tables.

    ``sources`` are disjoint, ascending, and cover the rest.
    """

    sources: tuple[Source, ...]
    plan: WritePlan
    near: Piece
    far: Piece

    def body(self) -> Iterator[Piece]:
        """Everything between the two ends."""
        buffer, zeros = aligned_buffer(), aligned_buffer()
        for source in self.sources:
            for span in pieces(clipped(self.plan.copies, source.span), BUFFER_BYTES):
                content = buffer[: span.length_bytes]
                _fill(source, content, span.start)
                yield Piece(span.start, content)
        for span in pieces(self.plan.zeros, BUFFER_BYTES):
            yield Piece(span.start, zeros[: span.length_bytes])


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
    with ExitStack() as stack:
        sources = _sources(stack, image, layout, sector_bytes)
        near, far = _ends(sources[0].descriptor, grown(layout, device_bytes), sector_bytes)
        yield StickContents(sources, _plan(sources, layout), near, far)


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


def _sources(stack: ExitStack, image: Path, layout: Layout, sector_bytes: int) -> tuple[Source, ...]:
    """The image; on a device with larger sectors than the image's ESP is made for, with another ESP in it."""
    body = Span(END_BYTES, layout.of("parcels").end_bytes)
    if not 0 < fat_sector_bytes(image, layout) < sector_bytes:
        return (_opened(stack, image, body),)
    esp = layout.of("esp")
    other = Path(stack.enter_context(TemporaryDirectory(prefix="soulpad-write-")), "esp.img")
    copy_esp(image, layout, sector_bytes, other)
    return (
        _opened(stack, image, Span(body.start, esp.offset_bytes)),
        _opened(stack, other, Span(esp.offset_bytes, esp.end_bytes)),
        _opened(stack, image, Span(esp.end_bytes, body.end)),
    )


def _opened(stack: ExitStack, path: Path, span: Span) -> Source:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return Source(path, descriptor, span)


def _plan(sources: tuple[Source, ...], layout: Layout) -> WritePlan:
    data = [
        span
        for source in sources
        for span in clipped(widened(data_spans(source.descriptor, layout.total_bytes)), source.span)
    ]
    body = Span(sources[0].span.start, sources[-1].span.end)
    return plan(data, solid_regions(layout), file_systems(layout), body)


def _fill(source: Source, target: memoryview, offset_bytes: int) -> None:
    try:
        count = os.preadv(source.descriptor, [target], offset_bytes)
    except OSError as error:
        raise BadImage(f"{source.path} cannot be read at byte {offset_bytes}: {error.strerror}") from None
    if count != len(target):
        raise BadImage(f"{source.path} ends at byte {offset_bytes + count}", "is something writing to it?")


def solid_regions(layout: Layout) -> list[Span]:
    """Where every hole of the image matters (builder.device.writeplan)."""
    bios, parcels = layout.of("bios"), layout.of("parcels")
    header_end = min(parcels.offset_bytes + PAYLOAD_OFFSET_BYTES, parcels.end_bytes)
    return [Span(bios.offset_bytes, bios.end_bytes), Span(parcels.offset_bytes, header_end)]


def file_systems(layout: Layout) -> list[Span]:
    """Where holes matter but for free space at the end (builder.device.writeplan)."""
    return [Span(layout.of(role).offset_bytes, layout.of(role).end_bytes) for role in ("esp", "host-a", "host-b")]
