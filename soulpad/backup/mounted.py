"""Parcels of a mounted store, or of a folder that stands for one, as subjects of a backup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lookaside.readable import Mapped, open_file
from soulpad.backup.subject import Moment, Subject
from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, expected_files
from soulpad.store.layout import PARCELS, ParcelPaths
from soulpad.store.pin import pinned
from soulpad.store.workingset import WORKING_SET_NAME


@contextmanager
def subjects_in(root: Path, stick: str = "") -> Iterator[list[Subject]]:
    """All parcels, sorted by their names. Their checkpoints stay until the block ends, whatever the session that runs
    beside does; what it commits meanwhile is not seen. Raises StoreDamaged."""
    with ExitStack() as stack:
        folder = root / PARCELS
        uuids = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        paths = [ParcelPaths(root, uuid) for uuid in uuids if not uuid.startswith(".")]
        found = [subject_of(path, stick, stack) for path in paths]
        yield sorted(found, key=lambda subject: subject.description.name)


def subject_of(paths: ParcelPaths, stick: str, stack: ExitStack) -> Subject:
    """A parcel. Raises StoreDamaged when its current checkpoint cannot be read."""
    try:
        current = int(paths.current.read_text())
        moment = moment_in(paths.checkpoint(current), stack)
        content = paths.description.read_bytes()
    except (OSError, ValueError):
        raise StoreDamaged(f"the current checkpoint of parcel {paths.uuid} cannot be read") from None
    return Subject(content, moment, tuple(others(paths, current, stack)), stick)


def others(paths: ParcelPaths, current: int, stack: ExitStack) -> Iterator[Moment]:
    """The other checkpoints, newest first; those that cannot be read, or go just now, are left out."""
    generations = {int(path.name) for path in paths.checkpoints.iterdir() if path.name.isdigit()} - {current}
    for generation in sorted(generations, reverse=True):
        try:
            yield moment_in(paths.checkpoint(generation), stack)
        except (OSError, SoulpadError):
            continue


def moment_in(folder: Path, stack: ExitStack) -> Moment:
    """The checkpoint in a folder, which stays there until the stack is closed. Raises OSError, StoreDamaged."""
    stack.enter_context(pinned(folder))
    content = (folder / MANIFEST_NAME).read_bytes()
    names = [*expected_files(CheckpointManifest.decode(content)), WORKING_SET_NAME]
    files: dict[str, Mapped] = {
        name: stack.enter_context(open_file(folder / name)) for name in names if (folder / name).exists()
    }
    return Moment(content, files)
