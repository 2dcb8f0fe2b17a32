"""Recovering a stick or an image: the files of its parcels that can be read go into a folder, laid out as in the store.

Reads past what is damaged. A file of which something cannot be read is kept only if that is asked for, with zeros where
something is lost. What a crash leaves is a folder with fewer files: each gets its name when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from builder.inspect import Inspection, inspect
from builder.store.plainview import plain_view
from builder.store.storewalk import StoredFile, files_in
from builder.store.xfswalk import Xfs
from builder.verify import pieces_of
from soulpad.base.durable import fsync_path, replace_durably
from soulpad.base.errors import BadInput, SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret
from soulpad.base.spans import Span, union
from soulpad.store.layout import PARCELS

BLOCK_BYTES = 4096


@dataclass
class StickRecovered:
    """What was saved. ``lost``: the spans of each file that could not be read; ``problems``: what else was found."""

    inspection: Inspection
    files: int = 0
    file_bytes: int = 0
    lost: dict[str, list[Span]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def recover_stick(path: Path, secret: Secret, target: Path, progress: Progress, *, partial: bool) -> StickRecovered:
    """Copies what can be read into ``target``, a new or an empty folder. Raises BadImage, WrongPassphrase, BadInput,
    OSError of the target."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there and not empty", "name a new or an empty folder")
    inspection = inspect(path)
    result = StickRecovered(inspection, problems=list(inspection.problems))
    with plain_view(path, inspection.layout.of("parcels"), secret) as view:
        target.mkdir(parents=True, exist_ok=True)
        for file in files_in(Xfs(view), view, PARCELS, result.problems):
            progress.step(str(file.path))
            save(file, target.joinpath(*file.path.parts), result, progress, partial=partial)
    return result


def save(file: StoredFile, path: Path, result: StickRecovered, progress: Progress, *, partial: bool) -> None:
    """Copies one file, its holes left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.partial")
    lost: list[Span] = []
    with staged.open("wb", buffering=0) as copy:
        copy.truncate(file.image.size_bytes)
        for start, content in readable_pieces(file, lost):
            os.pwrite(copy.fileno(), content, start)
            progress.advance(start, file.image.size_bytes)
        os.fsync(copy.fileno())
    if lost:
        result.lost[str(file.path)] = union(lost)
    if lost and not partial:
        staged.unlink()
        fsync_path(path.parent)
        return
    replace_durably(staged, path)
    result.files += 1
    result.file_bytes += file.image.size_bytes


def readable_pieces(file: StoredFile, lost: list[Span]) -> Iterator[tuple[int, bytes]]:
    """What can be read, and where it belongs; the rest is added to ``lost``."""
    try:
        spans = list(pieces_of(file))
    except SoulpadError:  # nobody knows where its bytes lie
        lost.append((0, file.image.size_bytes))
        return
    for start, end in spans:
        try:
            yield start, file.image.read_at(start, end - start)
        except SoulpadError:
            yield from readable_blocks(file, start, end, lost)


def readable_blocks(file: StoredFile, start: int, end: int, lost: list[Span]) -> Iterator[tuple[int, bytes]]:
    for block in range(start, end, BLOCK_BYTES):
        stop = min(block + BLOCK_BYTES, end)
        try:
            yield block, file.image.read_at(block, stop - block)
        except SoulpadError:
            lost.append((block, stop))
