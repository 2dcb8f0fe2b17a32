"""The parcels of an opened store, their current checkpoints, and how one becomes the next.

What a crash leaves at each step of a suspend (docs/formats/store.md):

    before checkpoint.json is durable in live/     the old checkpoint and an unclean live disk
    after it, before live/ is renamed              a finished checkpoint in live/: adopted at the next start
    after the rename, before ``current`` is        a finished checkpoint beside the current one: adopted
    after ``current`` is renamed                   the new checkpoint
"""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from soulpad.base.durable import fsync_path, replace_durably, write_durably
from soulpad.base.errors import CannotResume, SoulpadError, StoreDamaged
from soulpad.base.run import run
from soulpad.store import document
from soulpad.store.checkpoint import (
    MANIFEST_NAME,
    RAM_NAME,
    CheckpointManifest,
    disk_name,
    expected_files,
    verified,
)
from soulpad.store.layout import PARCELS, ParcelPaths
from soulpad.store.parcel import ParcelDescription

LIVE_FORMAT = "soulpad-live/1"
KEPT_CHECKPOINTS = 3


@dataclass(frozen=True)
class LiveRecord:
    """``live/session.json``: which generation the live files came from; ``clean`` until the VM runs."""

    generation: int
    clean: bool
    began_at: int


@dataclass(frozen=True)
class Parcel:
    """One parcel in an opened store."""

    paths: ParcelPaths
    description: ParcelDescription

    def current_generation(self) -> int:
        """The generation that ``current`` names; raises StoreDamaged."""
        try:
            return int(self.paths.current.read_text())
        except (OSError, ValueError):
            raise StoreDamaged(
                f"The parcel {self.description.name!r} does not say which checkpoint is current.",
                "Its checkpoints are untouched; restore the stick or have it looked at.",
            ) from None

    def current(self) -> CheckpointManifest:
        """The current checkpoint's manifest after its files were found whole; raises CannotResume and others."""
        generation = self.current_generation()
        return verified(self.paths.checkpoint(generation), generation)

    def generations(self) -> list[int]:
        """All checkpoints, oldest first."""
        return sorted(int(path.name) for path in self.paths.checkpoints.iterdir() if path.name.isdigit())

    def live_record(self) -> LiveRecord | None:
        """What an earlier session left in live/, or None."""
        if not self.paths.live_session.exists():
            return None
        try:
            fields = document.read(self.paths.live_session, LIVE_FORMAT)
        except StoreDamaged:  # what cannot be read is not clean: the person is asked, nothing is dropped
            return LiveRecord(self.current_generation(), clean=False, began_at=0)
        return LiveRecord(fields.count("generation"), fields.count("clean") == 1, fields.count("began_at"))


def parcels_in(root: Path) -> list[Parcel]:
    """All parcels of a mounted store, by name; raises StoreDamaged when there is none."""
    folder = root / PARCELS
    uuids = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = [Parcel(ParcelPaths(root, uuid), _description(ParcelPaths(root, uuid))) for uuid in uuids]
    if not found:
        raise StoreDamaged("There is no parcel on this stick.", "Put one on it with: soulpad create")
    return sorted(found, key=lambda parcel: parcel.description.name)


def _description(paths: ParcelPaths) -> ParcelDescription:
    try:
        return ParcelDescription.decode(paths.description.read_bytes())
    except FileNotFoundError:
        raise StoreDamaged(f"The parcel {paths.uuid} has no description.", "Restore the stick from a backup.") from None


def adopt_finished_suspend(parcel: Parcel) -> int | None:
    """Completes a suspend that a power cut interrupted after everything was durable; returns its generation."""
    current = parcel.current_generation()
    finished = parcel.paths.live / MANIFEST_NAME
    if finished.exists():
        try:
            manifest = CheckpointManifest.decode(finished.read_bytes())
            verified(parcel.paths.live, manifest.generation)
            return commit(parcel, manifest)
        except SoulpadError:  # an unfinished one is a crashed session, and asked about as such
            # Out of the way: a cold start from live/ makes new RAM of the same size, and this would vouch for it.
            replace_durably(finished, finished.with_name(f"{MANIFEST_NAME}.refused"))
    newest = max(parcel.generations(), default=current)
    if newest > current:
        with contextlib.suppress(SoulpadError):
            verified(parcel.paths.checkpoint(newest), newest)
            set_current(parcel, newest)
            return newest
    return None


def begin_live(parcel: Parcel, manifest: CheckpointManifest, *, with_ram: bool) -> Path:
    """Clones a checkpoint's disks (and RAM) into live/ by reflink; the checkpoint itself is never run."""
    source = parcel.paths.checkpoint(manifest.generation)
    staged = parcel.paths.folder / "live.partial"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o711)
    names = [disk_name(index) for index in range(len(manifest.disk_bytes))]
    for name in [*names, RAM_NAME] if with_ram else names:
        clone(source / name, staged / name)
    write_record(staged, LiveRecord(manifest.generation, clean=True, began_at=int(time.time())))
    record = parcel.live_record()
    if record and not record.clean:  # a machine that failed after it began to run: what it wrote is not ours to drop
        keep_aside(parcel)
    elif parcel.paths.live.exists():
        shutil.rmtree(parcel.paths.live)
    staged.replace(parcel.paths.live)
    fsync_path(parcel.paths.folder)
    return parcel.paths.live


def withdraw_clean(parcel: Parcel) -> None:
    """Notes durably that the VM is about to run: from here on live/ differs from its checkpoint."""
    record = parcel.live_record()
    if record is None:
        raise StoreDamaged("The running session has no record.", "Switch the PC off and start again.")
    write_record(parcel.paths.live, LiveRecord(record.generation, clean=False, began_at=record.began_at))


def write_record(folder: Path, record: LiveRecord) -> None:
    """Writes ``session.json`` durably."""
    fields = asdict(record) | {"clean": int(record.clean)}
    write_durably(folder / "session.json", document.encode(LIVE_FORMAT, fields))


def clone(source: Path, target: Path) -> None:
    """Copies a file by reflink: no data moves, both share blocks until written."""
    run(["cp", "--reflink=auto", "--sparse=always", "--preserve=mode", source, target])


def flush(parcel: Parcel, manifest: CheckpointManifest) -> None:
    """Makes every file of the live checkpoint durable."""
    for name in expected_files(manifest):
        fsync_path(parcel.paths.live / name)
    fsync_path(parcel.paths.live)


def commit(parcel: Parcel, manifest: CheckpointManifest) -> int:
    """Makes the flushed live/ the current checkpoint; returns its generation."""
    live, target = parcel.paths.live, parcel.paths.checkpoint(manifest.generation)
    write_durably(live / MANIFEST_NAME, manifest.encode())
    live.replace(target)
    (target / parcel.paths.live_session.name).unlink(missing_ok=True)
    fsync_path(parcel.paths.checkpoints)
    fsync_path(parcel.paths.folder)
    set_current(parcel, manifest.generation)
    return manifest.generation


def set_current(parcel: Parcel, generation: int) -> None:
    """The commit point of a suspend: before it the old checkpoint is current, after it this one."""
    write_durably(parcel.paths.current, f"{generation}\n".encode())


def keep_aside(parcel: Parcel) -> Path:
    """Moves what a crashed session left to kept/: it is not lost, only not chosen now."""
    parcel.paths.kept.mkdir(exist_ok=True)
    target = parcel.paths.kept / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    while target.exists():
        target = target.with_name(f"{target.name}+")
    parcel.paths.live.replace(target)
    fsync_path(parcel.paths.kept)
    fsync_path(parcel.paths.folder)
    return target


def prune(parcel: Parcel) -> None:
    """Removes checkpoints older than the newest KEPT_CHECKPOINTS; never the current one."""
    current = parcel.current_generation()
    for generation in parcel.generations()[:-KEPT_CHECKPOINTS]:
        if generation != current:
            shutil.rmtree(parcel.paths.checkpoint(generation))


def require_disks(parcel: Parcel, manifest: CheckpointManifest) -> CheckpointManifest:
    """The disks are those of the parcel's machine, or CannotResume."""
    expected = tuple(disk.size_bytes for disk in parcel.description.machine.disks)
    if manifest.disk_bytes != expected:
        raise CannotResume(
            f"Checkpoint {manifest.generation} has other disks than its machine.", "Choose an older checkpoint."
        )
    return manifest
