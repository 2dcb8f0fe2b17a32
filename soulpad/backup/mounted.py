"""Parcels of a mounted store, or of a folder that stands for one, as subjects of a backup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lookaside.readable import Mapped, open_file
from soulpad.backup.subject import Moment, Subject, Subjects, gathered
from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, expected_files, verified
from soulpad.store.layout import PARCELS, ParcelPaths
from soulpad.store.pin import pinned
from soulpad.store.workingset import WORKING_SET_NAME


@contextmanager
def subjects_in(root: Path, stick: str = "") -> Iterator[Subjects]:
    """All parcels. Their checkpoints stay until the block ends, whatever the session that runs beside does; what it
    commits meanwhile is not seen."""
    with ExitStack() as stack:
        folder = root / PARCELS
        uuids = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        found = [uuid for uuid in uuids if not uuid.startswith(".")]
        yield gathered(lambda uuid: subject_of(ParcelPaths(root, uuid), stick, stack), found)


def subject_of(paths: ParcelPaths, stick: str, stack: ExitStack) -> Subject:
    """A parcel. Raises StoreDamaged, CannotResume when its current checkpoint is not whole."""
    try:
        current = int(paths.current.read_text())
        moment = moment_in(paths.checkpoint(current), stack)
        verified(paths.checkpoint(current), current)
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
