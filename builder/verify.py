"""Verifying a stick or an image: what ``builder.inspect`` says of it, and besides, with the secret, whether the device
state of every suspended checkpoint is what was saved, and whether the device gives the bytes of the files at all. Of
disks and memory no digest is kept, so an altered bit in them is not noticed. Reads only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from builder.inspect import Inspection, inspect
from builder.store.plainview import plain_view
from builder.store.storewalk import StoredFile, files_in
from builder.store.xfswalk import Xfs
from soulpad.backup.subject import sha256_of
from soulpad.base.errors import SoulpadError
from soulpad.base.progress import Progress, Silent
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
from soulpad.store.checkpoint import DEVICE_STATE_NAME
from soulpad.store.layout import PARCELS, ParcelPaths

PIECE_BYTES = MIB


@dataclass
class StickVerified:
    """What was found. ``file_bytes_read`` of ``file_bytes``: the share of the parcels' files that was read."""

    inspection: Inspection
    checkpoints: int = 0
    files: int = 0
    file_bytes: int = 0
    file_bytes_read: int = 0
    problems: list[str] = field(default_factory=list)


def verify_stick(
    path: Path, secret: Secret | None = None, share: float = 1.0, progress: Progress | None = None
) -> StickVerified:
    """Raises BadImage when it is no stick, WrongPassphrase; all else is among the problems."""
    inspection = inspect(path, secret)
    result = StickVerified(inspection, problems=list(inspection.problems))
    if secret and inspection.parcels is not None:
        with plain_view(path, inspection.layout.of("parcels"), secret) as view:
            store = Xfs(view)
            files = list(files_in(store, view, PARCELS, result.problems))
            check_states(inspection, {file.path: file for file in files}, result)
            read_share(files, share, result, progress or Silent())
    return result


def check_states(inspection: Inspection, files: dict[PurePosixPath, StoredFile], result: StickVerified) -> None:
    """Compares each suspended checkpoint's device state with the digest in its manifest."""
    for parcel in inspection.parcels or ():
        for checkpoint in parcel.checkpoints:
            result.checkpoints += 1
            state = checkpoint.manifest.suspended if checkpoint.manifest else None
            folder = PurePosixPath(ParcelPaths(Path(), parcel.uuid).checkpoint(checkpoint.generation))
            file = files.get(folder / DEVICE_STATE_NAME)
            if state is None or file is None:
                continue  # that it is missing was said
            where = f"parcel {parcel.uuid}, checkpoint {checkpoint.generation}"
            try:
                if sha256_of(file.image) != state.device_state_sha256:
                    result.problems.append(f"{where}: {DEVICE_STATE_NAME} is not what was saved; it cannot be resumed")
            except SoulpadError as error:
                result.problems.append(f"{where}: {DEVICE_STATE_NAME}: {error.message}")


def read_share(files: list[StoredFile], share: float, result: StickVerified, progress: Progress) -> None:
    """Reads files drawn at random, until they have that share of all bytes."""
    result.file_bytes = sum(file.data_bytes for file in files)
    wanted = share * result.file_bytes
    progress.step("files")
    for file in random.SystemRandom().sample(files, len(files)):
        if result.file_bytes_read >= wanted:
            break
        result.files += 1
        for start, end in pieces_of(file):
            try:
                file.image.read_at(start, end - start)
            except SoulpadError as error:
                result.problems.append(f"{file.path}: {error.message}")
                break
        result.file_bytes_read += file.data_bytes
        progress.advance(result.file_bytes_read, int(wanted))


def pieces_of(file: StoredFile) -> Iterator[tuple[int, int]]:
    """Where there is data, in pieces."""
    position = file.image.data_from(0)
    while position < file.image.size_bytes:
        end = min(position + PIECE_BYTES, file.image.size_bytes)
        yield position, end
        position = file.image.data_from(end)
