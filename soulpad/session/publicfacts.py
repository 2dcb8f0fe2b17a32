"""``soulpad.json`` kept true: what a PC must have to resume each parcel, as the store knows it after a checkpoint.

The file is on the boot partition, which is FAT and mounted only for the moment. It is advice: it is written after the
checkpoint was committed, and whatever fails here is a line in the log.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from soulpad.base.durable import fsync_path
from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.base.run import run
from soulpad.session.fitness import read_description
from soulpad.session.parcels import Parcel, parcels_in
from soulpad.session.report import report
from soulpad.session.thispc import Stick, esp_of
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest
from soulpad.store.stick import DESCRIPTION_NAME, ParcelRequirement, StickDescription

log = logging.getLogger("soulpad.session")

# Each step of a change is on the stick before the next: FAT has no journal that would order them.
WRITING = "rw,sync,nodev,nosuid,noexec"


def keep_true(stick: Stick, root: Path) -> None:
    """Brings the file up to the store below ``root``; writes nothing where nothing changed, and never fails."""
    try:
        known = read_description(stick)
        if known is None:  # missing or damaged: what else was in it nobody knows
            return
        true = described(known, parcels_in(root))
        if true != known:
            with writable_esp(stick) as folder:
                replace_on_fat(folder / DESCRIPTION_NAME, true.encode())
            report("public-facts-updated", parcels=len(true.parcels))
    except Exception as error:
        log.warning("%s is not what the store says: %s", DESCRIPTION_NAME, error)
        report("public-facts-stale", reason=str(error))


def described(known: StickDescription, found: Sequence[Parcel]) -> StickDescription:
    """The description of the parcels that are there. Those that are new come last and by their uuid: an order by name
    would tell of the names."""
    before = {parcel.uuid: parcel for parcel in known.parcels}
    order = [*before, *sorted(parcel.description.uuid for parcel in found)]
    there = sorted(found, key=lambda parcel: order.index(parcel.description.uuid))
    return replace(known, parcels=tuple(requirement(parcel, before.get(parcel.description.uuid)) for parcel in there))


def requirement(parcel: Parcel, before: ParcelRequirement | None) -> ParcelRequirement:
    """What the current checkpoint asks of a PC; where it cannot be read, what was known of the parcel ``before``."""
    machine = parcel.description.machine
    try:
        state = current_manifest(parcel).suspended
    except (SoulpadError, OSError):
        if before:
            return before
        state = None
    accelerator, vmm = (state.accelerator, state.vmm) if state else ("any", None)
    return ParcelRequirement(parcel.description.uuid, machine.cpu_model, machine.memory_mib, accelerator, vmm)


def current_manifest(parcel: Parcel) -> CheckpointManifest:
    """What the current checkpoint says of itself, without a look at its files. Raises SoulpadError, OSError."""
    folder = parcel.paths.checkpoint(parcel.current_generation())
    return CheckpointManifest.decode((folder / MANIFEST_NAME).read_bytes())


@contextmanager
def writable_esp(stick: Stick) -> Iterator[Path]:
    """The boot partition's folder, where only this service sees it. Raises StoreDamaged, ProgramFailed."""
    partition = esp_of(stick)
    if partition is None:
        raise StoreDamaged("this stick has no boot partition")
    with tempfile.TemporaryDirectory(dir="/run/soulpad") as folder:
        run(["mount", "-t", "vfat", "-o", WRITING, partition, folder])
        try:
            yield Path(folder)
        finally:
            run(["umount", folder])


def replace_on_fat(path: Path, content: bytes) -> None:
    """Writes beside and renames. A power cut leaves the old file or the new one under the name.

    It may also leave the name beside. That name is never used again, nor its file removed: cut off within the rename,
    both names lead to the same blocks, and FAT would give them away.
    """
    staged = path.with_name(f"{path.name}.{token_hex(4)}")
    with staged.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb"):  # as long as it is open the old file's blocks are not given away
        staged.replace(path)  # commit point
        fsync_path(path.parent)
