"""The running session's files, ``live/``, and how they become a checkpoint.

Three ways: ``commit`` turns live/ itself into one (a suspend), ``begin_checkpoint`` and ``commit_beside`` clone it
while the session goes on, and ``keep_aside`` keeps the disks that a crash left. What a crash leaves at each step of the
first (docs/formats/store.md):

    before checkpoint.json is durable in live/     the old checkpoint and an unclean live disk
    after it, before live/ is renamed              a finished checkpoint in live/: adopted at the next start
    after the rename, before ``current`` is        a finished checkpoint beside the current one: adopted
    after ``current`` is renamed                   the new checkpoint
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from soulpad.base.durable import fsync_path, replace_durably, write_durably
from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.base.reflink import clone, clone_range
from soulpad.session import cloneahead
from soulpad.session.cloneahead import CloneAhead
from soulpad.session.parcels import LIVE_FORMAT, LiveRecord, Parcel
from soulpad.store import document
from soulpad.store.checkpoint import (
    DEVICE_STATE_NAME,
    MANIFEST_NAME,
    RAM_NAME,
    CheckpointManifest,
    disk_name,
    expected_files,
    identity_of,
    verified,
)
from soulpad.store.lineage import history_after
from soulpad.store.workingset import WORKING_SET_NAME


def begin_live(parcel: Parcel, manifest: CheckpointManifest, *, with_ram: bool) -> Path:
    """Clones a checkpoint's disks (and RAM) into live/ by reflink; the checkpoint itself is never run."""
    source = parcel.paths.checkpoint(manifest.generation)
    staged = parcel.paths.folder / "live.partial"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o711)
    disks = [disk_name(index) for index in range(len(manifest.disk_bytes))]
    for name in [*disks, RAM_NAME] if with_ram else disks:
        clone(source / name, staged / name)
    for name in disks:  # what a guest's flush makes durable later must not hang on a clone that is not
        fsync_path(staged / name)
    write_record(staged, LiveRecord(manifest.generation, clean=True, began_at=int(time.time())))
    record = parcel.live_record()
    ran = not (record and record.clean) and any((parcel.paths.live / name).exists() for name in disks)
    if ran:  # cut off, failed, or nobody knows: what the guest wrote is not ours to drop
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
    write_record(parcel.paths.live, replace(record, clean=False))


def note_generation(parcel: Parcel, generation: int) -> None:
    """Notes that the running session is at a newer checkpoint."""
    record = parcel.live_record()
    if record:
        write_record(parcel.paths.live, replace(record, generation=generation))


def write_record(folder: Path, record: LiveRecord) -> None:
    """Writes ``session.json`` durably."""
    fields = asdict(record) | {"clean": int(record.clean)}
    write_durably(folder / "session.json", document.encode(LIVE_FORMAT, fields))


# --- a suspend: live/ becomes the checkpoint


def flush(folder: Path, manifest: CheckpointManifest) -> None:
    """Makes every file of the checkpoint in ``folder`` durable."""
    for name in expected_files(manifest):
        fsync_path(folder / name)
    fsync_path(folder)


def commit(parcel: Parcel, manifest: CheckpointManifest) -> int:
    """Makes the flushed live/ the current checkpoint; returns its generation."""
    write_durably(parcel.paths.live / MANIFEST_NAME, manifest.encode())
    move_live_to(parcel, manifest.generation)
    set_current(parcel, manifest.generation)
    return manifest.generation


def move_live_to(parcel: Parcel, generation: int) -> None:
    """live/, with its manifest, is a checkpoint from here on."""
    target = parcel.paths.checkpoint(generation)
    parcel.paths.live.replace(target)
    (target / parcel.paths.live_session.name).unlink(missing_ok=True)
    fsync_path(parcel.paths.checkpoints)
    fsync_path(parcel.paths.folder)


def set_current(parcel: Parcel, generation: int) -> None:
    """The commit point of every new checkpoint: before it the old one is current, after it this one."""
    write_durably(parcel.paths.current, f"{generation}\n".encode())


# --- a checkpoint beside the running session


def begin_checkpoint(parcel: Parcel, generation: int) -> Path:
    """An empty folder for the next checkpoint, passed through by QEMU's user."""
    staged = parcel.paths.checkpoint_in_progress(generation)
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o711)
    return staged


@contextlib.contextmanager
def removed_on_failure(staged: Path) -> Iterator[None]:
    """A checkpoint that fails leaves nothing: beside its clones, all that the guest writes would take new room."""
    try:
        yield
    except Exception:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def clone_ahead(parcel: Parcel, staged: Path) -> list[CloneAhead]:
    """Clones what is not dirty of disks and RAM while the VM runs, so that ``complete_clones`` has little to do. RAM,
    which changes most, comes last."""
    names = [*running_disks(parcel), RAM_NAME]
    return [cloneahead.begin(parcel.paths.live / name, staged / name) for name in names]


def complete_clones(begun: list[CloneAhead]) -> list[CloneAhead]:
    """Makes the clones what disks and RAM are now, but for holes. The VM must stand still, with its block I/O drained:
    a direct read in flight would change a clone after it was made."""
    *disks, memory = begun
    return [
        cloneahead.complete(memory, cloneahead.copied),
        *(cloneahead.complete(disk, clone_range) for disk in disks),
    ]


def make_holes(completed: list[CloneAhead]) -> None:
    """Gives the clones the holes that disks and RAM had; the VM may run."""
    for one in completed:
        cloneahead.make_holes(one)


def hand_on_working_set(parcel: Parcel, staged: Path) -> None:
    """Gives the new checkpoint what is known of its next resume; a checkpoint without it is whole."""
    with contextlib.suppress(OSError):
        clone(parcel.paths.live / WORKING_SET_NAME, staged / WORKING_SET_NAME)


def commit_beside(parcel: Parcel, staged: Path, manifest: CheckpointManifest) -> int:
    """Makes the clones in ``staged`` the current checkpoint, while the session goes on; returns its generation."""
    flush(staged, manifest)
    write_durably(staged / MANIFEST_NAME, manifest.encode())
    replace_durably(staged, parcel.paths.checkpoint(manifest.generation))
    set_current(parcel, manifest.generation)
    return manifest.generation


def running_files(parcel: Parcel) -> list[str]:
    """The files in live/ that a running VM writes."""
    return [RAM_NAME, *running_disks(parcel)]


def running_disks(parcel: Parcel) -> list[str]:
    """The same without its memory."""
    return [disk_name(index) for index in range(len(parcel.description.machine.disks))]


# --- what a crash left


def adopt_finished_suspend(parcel: Parcel) -> int | None:
    """Completes what a power cut interrupted after everything was durable; returns the generation that became current.

    Also clears away what was only begun.
    """
    current = parcel.current_generation()
    finished = parcel.paths.live / MANIFEST_NAME
    if finished.exists():
        try:
            manifest = CheckpointManifest.decode(finished.read_bytes())
            verified(parcel.paths.live, manifest.generation)
        except SoulpadError:  # an unfinished one is a crashed session, and asked about as such
            # Out of the way: a cold start from live/ makes new RAM of the same size, and this would vouch for it.
            replace_durably(finished, finished.with_name(f"{MANIFEST_NAME}.refused"))
        else:
            move_live_to(parcel, manifest.generation)
    for stray in parcel.paths.checkpoints.glob(".*"):
        shutil.rmtree(stray, ignore_errors=True)
    for generation in reversed([found for found in parcel.generations() if found > current]):
        with contextlib.suppress(SoulpadError):
            if verified(parcel.paths.checkpoint(generation), generation).occasion != "cut-off":
                set_current(parcel, generation)
                return generation
    return None


def keep_aside(parcel: Parcel) -> int:
    """Makes a checkpoint of the disks that a crashed session left; returns its generation, which is not current.

    Its RAM belongs to no device state and goes: nothing could ever be resumed from it.
    """
    live = parcel.paths.live
    for name in (RAM_NAME, WORKING_SET_NAME, DEVICE_STATE_NAME):
        (live / name).unlink(missing_ok=True)
    record = parcel.live_record()
    disks = [name for name in running_files(parcel) if (live / name).exists()]
    manifest = CheckpointManifest(
        generation=parcel.next_generation(),
        parent=record.generation if record else None,
        taken_at=int(time.time()),
        disk_bytes=tuple(disk.size_bytes for disk in parcel.description.machine.disks),
        occasion="cut-off",
        identity=identity_of(live, disks),
        history=history_after(parcel.paths.checkpoint(record.generation)) if record else (),
    )
    for name in disks:
        fsync_path(live / name)
    write_durably(live / MANIFEST_NAME, manifest.encode())
    move_live_to(parcel, manifest.generation)
    return manifest.generation
