"""The parcels of an opened store and what is in them: their checkpoints, and what an earlier session left. Reads only;
what changes them is in ``live``, ``retention`` and ``branches``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import CannotResume, SoulpadError, StoreDamaged
from soulpad.store import document
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, verified
from soulpad.store.layout import PARCELS, ParcelPaths
from soulpad.store.parcel import ParcelDescription

LIVE_FORMAT = "soulpad-live/1"


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
        return self.verified(self.current_generation())

    def verified(self, generation: int) -> CheckpointManifest:
        """A checkpoint's manifest after its files were found whole and its parcel's; raises as ``verified`` does."""
        return require_disks(self, verified(self.paths.checkpoint(generation), generation))

    def with_whole_disks(self, generation: int) -> CheckpointManifest:
        """As ``verified``, of the disks alone: enough for a cold start."""
        return require_disks(self, verified(self.paths.checkpoint(generation), generation, disks_only=True))

    def generations(self) -> list[int]:
        """All checkpoints, oldest first."""
        return sorted(int(path.name) for path in self.paths.checkpoints.iterdir() if path.name.isdigit())

    def next_generation(self) -> int:
        """A generation that no checkpoint has had."""
        return max([*self.generations(), self.current_generation()]) + 1

    def manifests(self) -> list[CheckpointManifest]:
        """What the checkpoints' manifests say, oldest first; those that cannot be read are left out."""
        found = []
        for generation in self.generations():
            try:
                content = (self.paths.checkpoint(generation) / MANIFEST_NAME).read_bytes()
                found.append(CheckpointManifest.decode(content))
            except (OSError, SoulpadError):
                continue
        return found

    def whole_checkpoints(self) -> list[CheckpointManifest]:
        """The checkpoints that can be gone back to, newest first."""
        found = []
        for generation in reversed(self.generations()):
            try:
                found.append(self.verified(generation))
            except (OSError, SoulpadError):
                continue
        return found

    def newest_whole_disks(self) -> CheckpointManifest | None:
        """The current checkpoint if its disks are whole, else the newest one whose disks are."""
        for generation in [self.current_generation(), *reversed(self.generations())]:
            try:
                return self.with_whole_disks(generation)
            except (OSError, SoulpadError):
                continue
        return None

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
    paths = [ParcelPaths(root, uuid) for uuid in uuids if not uuid.startswith(".")]
    found = [Parcel(path, _description(path)) for path in paths]
    if not found:
        raise StoreDamaged("There is no parcel on this stick.", "Put one on it with: soulpad create")
    return sorted(found, key=lambda parcel: parcel.description.name)


def _description(paths: ParcelPaths) -> ParcelDescription:
    try:
        return ParcelDescription.decode(paths.description.read_bytes())
    except FileNotFoundError:
        raise StoreDamaged(f"The parcel {paths.uuid} has no description.", "Restore the stick from a backup.") from None


def require_disks(parcel: Parcel, manifest: CheckpointManifest) -> CheckpointManifest:
    """The disks are those of the parcel's machine, or CannotResume."""
    expected = tuple(disk.size_bytes for disk in parcel.description.machine.disks)
    if manifest.disk_bytes != expected:
        raise CannotResume(
            f"Checkpoint {manifest.generation} has other disks than its machine.", "Choose an older checkpoint."
        )
    return manifest
