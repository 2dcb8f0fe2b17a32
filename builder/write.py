"""Writes a stick image to a device, and reads it back.

The steps, and what the device is if the flow ends there:

    erase      the MiBs at both ends are zeroed: from here on it is neither its old self nor a stick;
               the device is told to forget the rest, where it can be told
    body       data, the zeros that matter (builder.device.writeplan), and the backup table at the device's own end
    verify     all of it is read back past the cache
    commit     MBR and primary table: before it no PC boots the device, after it it is whole

The backup table comes before verification so that a stick that lies about its size, and wraps around, shows it there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from builder.device.devices import StickDevice
from builder.device.rawdevice import BUFFER_BYTES, DeviceFailed, RawDevice, aligned_buffer, opened
from builder.device.stickcontents import END_BYTES, Piece, StickContents, checked_image, erased_ends, stick_contents
from builder.disk.partitions import Layout
from soulpad.base.errors import DeviceTooSmall, Interrupted, SoulpadError, VerifyFailed
from soulpad.base.progress import Progress, Silent
from soulpad.base.units import MIB, format_bytes

_NOTHING_USABLE = "it holds no partition table now; write it again"


@dataclass(frozen=True)
class WriteOptions:
    """``verify``: read back what was written."""

    verify: bool = True


@dataclass(frozen=True)
class WriteReport:
    """What became of one device. ``left_bytes``: unused space of the image, where the device keeps what it held.

    ``write_seconds`` (the flush of the device's cache included) are part of ``seconds``.
    """

    device: Path
    by_id: Path | None
    stick_id: str
    device_bytes: int
    written_bytes: int
    left_bytes: int
    discarded: bool
    verified: bool
    write_seconds: float
    seconds: float

    @property
    def megabytes_per_second(self) -> float:
        return self.written_bytes / 1e6 / self.write_seconds


def write_image(image: Path, device: StickDevice, options: WriteOptions, progress: Progress) -> WriteReport:
    """Makes ``device`` the stick that ``image`` is, with a parcels partition as large as the device allows.

    Raises BadImage, DeviceTooSmall or DeviceRefused before anything is written; afterwards DeviceFailed or
    VerifyFailed naming the byte, or Interrupted: the device then holds no partition table.
    """
    started = time.monotonic()
    layout = checked_image(image)
    require_room(layout, device)
    with (
        opened(device.write_path, device.device_number) as raw,
        stick_contents(image, layout, raw.size_bytes, raw.sector_bytes) as contents,
    ):
        with _no_stick_on_failure(raw):
            discarded = _erase(raw, progress)
            write_seconds = _write_body(raw, contents, progress)
            if options.verify:
                _verify_body(raw, contents, progress)
            _commit(raw, contents, options)
        raw.reread_table()
    return WriteReport(
        device=device.path,
        by_id=device.by_id,
        stick_id=layout.stick_id,
        device_bytes=raw.size_bytes,
        written_bytes=contents.plan.total_bytes + 2 * END_BYTES,
        left_bytes=contents.plan.left_bytes,
        discarded=discarded,
        verified=options.verify,
        write_seconds=write_seconds,
        seconds=time.monotonic() - started,
    )


def require_room(layout: Layout, device: StickDevice) -> None:
    """Raises DeviceTooSmall, naming what it lacks."""
    lacking_bytes = layout.total_bytes - device.size_bytes
    if lacking_bytes > 0:
        raise DeviceTooSmall(
            f"{device.path} ({format_bytes(device.size_bytes)}) is {format_bytes(lacking_bytes)} smaller "
            f"than the image ({format_bytes(layout.total_bytes)})",
            f"take a stick of at least {-(-layout.total_bytes // MIB)} MiB, or create a smaller image with --size",
        )


def first_difference(expected: bytes, found: bytes) -> int | None:
    """The index of the first byte that differs between two equally long strings."""
    if expected == found:
        return None
    start, end = 0, len(expected)
    while end - start > 1:
        middle = (start + end) // 2
        start, end = (start, middle) if expected[start:middle] != found[start:middle] else (middle, end)
    return start


@contextmanager
def _no_stick_on_failure(raw: RawDevice) -> Iterator[None]:
    """Whatever goes wrong, no half of a stick stays: a PC that is offered the device finds nothing on it."""
    try:
        yield
    except KeyboardInterrupt:
        _erase_tables(raw)
        raise Interrupted(f"interrupted while {raw.path} was being written", _NOTHING_USABLE) from None
    except SoulpadError as error:
        _erase_tables(raw)
        error.hint = f"{error.hint}; {_NOTHING_USABLE}" if error.hint else _NOTHING_USABLE
        raise


def _erase_tables(raw: RawDevice) -> None:
    for end in erased_ends(raw.size_bytes):
        with suppress(DeviceFailed):  # the device may be gone; the error that is on its way says so
            _write(raw, [end])
            raw.flush()


def _erase(raw: RawDevice, progress: Progress) -> bool:
    """Returns whether the device could be told to forget its contents."""
    progress.step(f"Erasing {raw.path}")
    _write(raw, erased_ends(raw.size_bytes))
    raw.flush()
    discarded = raw.discard(progress.advance)
    _write(raw, erased_ends(raw.size_bytes))  # what was discarded may read as anything, the old table included
    raw.flush()
    return discarded


def _write_body(raw: RawDevice, contents: StickContents, progress: Progress) -> float:
    """Returns the seconds that it took until the device said that all is durable."""
    progress.step(f"Writing {format_bytes(contents.plan.total_bytes)} to {raw.path}")
    started = time.monotonic()
    _write(raw, chain(contents.body(), [contents.far]), progress, contents.plan.total_bytes)
    raw.flush()
    return time.monotonic() - started


def _verify_body(raw: RawDevice, contents: StickContents, progress: Progress) -> None:
    progress.step("Reading it back")
    _verify(raw, chain(contents.body(), [contents.far]), progress, contents.plan.total_bytes)


def _commit(raw: RawDevice, contents: StickContents, options: WriteOptions) -> None:
    _write(raw, [contents.near])
    raw.flush()  # commit point: before it the device is no stick, after it a whole one
    if options.verify:
        _verify(raw, [contents.near])


def _write(raw: RawDevice, pieces: Iterable[Piece], progress: Progress | None = None, total_bytes: int = 0) -> None:
    for piece in _counted(pieces, progress or Silent(), total_bytes):
        raw.write(piece.offset_bytes, piece.content)


def _verify(raw: RawDevice, pieces: Iterable[Piece], progress: Progress | None = None, total_bytes: int = 0) -> None:
    """Raises VerifyFailed naming the first byte that is not as it was written."""
    buffer = aligned_buffer(BUFFER_BYTES)
    for piece in _counted(pieces, progress or Silent(), total_bytes):
        found = buffer[: len(piece.content)]
        raw.read_into(piece.offset_bytes, found)
        difference = first_difference(piece.content.tobytes(), found.tobytes())
        if difference is not None:
            where = piece.offset_bytes + difference
            raise VerifyFailed(
                f"{raw.path} gave back something else than was written, first at byte {where}",
                "the stick may be failing, or smaller than it claims: take another",
            )


def _counted(pieces: Iterable[Piece], progress: Progress, total_bytes: int) -> Iterator[Piece]:
    """The same pieces; each is counted when the next one is asked for."""
    done_bytes = 0
    for piece in pieces:
        yield piece
        done_bytes += len(piece.content)
        progress.advance(min(done_bytes, total_bytes), total_bytes)
