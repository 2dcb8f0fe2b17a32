"""A second parcel from a checkpoint of a first: both go on from the same moment, each its own way.

The branch has the same machine and resumes the same state. The guest learns that it was copied from its VM generation
id, which is new at every start, and makes new random numbers.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from pathlib import Path

from soulpad.base.durable import fsync_path, replace_durably, write_durably
from soulpad.base.reflink import clone
from soulpad.session import live
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, expected_files, identity_of
from soulpad.store.layout import PARCELS, ParcelPaths
from soulpad.store.parcel import ParcelDescription, check_name

FIRST_GENERATION = 0


def branch(parcel: Parcel, manifest: CheckpointManifest, name: str) -> Parcel:
    """A new parcel whose only checkpoint is a clone of ``manifest``'s, which was verified.

    Commit point: the rename of its folder. What a crash leaves before it has a name that begins with a dot and is no
    parcel; the next branch of the same name is not hindered by it.
    """
    description = ParcelDescription(check_name(name), parcel.description.machine, str(uuid.uuid4()))
    root = parcel.paths.root
    staged = ParcelPaths(root, f".{description.uuid}.partial")
    target = staged.checkpoint(FIRST_GENERATION)
    target.mkdir(parents=True, mode=0o711)
    for folder in (staged.folder, staged.checkpoints, target):
        folder.chmod(0o711)
    source = parcel.paths.checkpoint(manifest.generation)
    for file in expected_files(manifest):
        clone(source / file, target / file)
    copied = replace(
        manifest,
        generation=FIRST_GENERATION,
        parent=None,
        identity=identity_of(target, expected_files(manifest)),
        history=(),
    )
    live.flush(target, copied)
    write_durably(target / MANIFEST_NAME, copied.encode())
    write_durably(staged.description, description.encode())
    write_durably(staged.current, f"{FIRST_GENERATION}\n".encode())
    fsync_path(staged.checkpoints)
    replace_durably(staged.folder, root / PARCELS / description.uuid)
    return Parcel(ParcelPaths(root, description.uuid), description)


def name_of_branch(taken: set[str], name: str) -> str:
    """``NAME (2)`` or the first such name that no parcel has, at most as long as names may be."""
    number = 2
    while (candidate := f"{name[:34]} ({number})") in taken:
        number += 1
    return candidate


def clear_unfinished(root: Path) -> None:
    """Removes what a crash left of branches that were never finished."""
    for stray in (root / PARCELS).glob(".*.partial"):
        shutil.rmtree(stray, ignore_errors=True)
