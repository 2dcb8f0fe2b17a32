"""Where things lie in the store's file system.

log/stages.jsonl                        stage times of every resume and suspend, one JSON object a line
parcels/UUID/parcel.json                who the parcel is, and its frozen machine
parcels/UUID/checkpoints/GEN/           immutable: checkpoint.json, disk-N.img, ram.img, device-state; working-set
parcels/UUID/checkpoints/.GEN.partial/  a checkpoint that is being made beside a running session
parcels/UUID/checkpoints/.GEN.removed/  a checkpoint that is being removed
parcels/UUID/live/                      scratch of the running session, and session.json
parcels/UUID/current                    the generation, in decimal: the commit point of a suspend
parcels/.UUID.partial/                  a parcel that is being branched off another
reserve                                 space that a full stick gives back to a suspend
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PARCELS = PurePosixPath("parcels")
STAGE_LOG = PurePosixPath("log/stages.jsonl")
RESERVE = PurePosixPath("reserve")


@dataclass(frozen=True)
class ParcelPaths:
    """The paths of one parcel below ``root``, a mounted store (or a folder that stands for one)."""

    root: Path
    uuid: str

    @property
    def folder(self) -> Path:
        return self.root / PARCELS / self.uuid

    @property
    def description(self) -> Path:
        return self.folder / "parcel.json"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def checkpoint(self, generation: int) -> Path:
        return self.checkpoints / str(generation)

    def checkpoint_in_progress(self, generation: int) -> Path:
        return self.checkpoints / f".{generation}.partial"

    def checkpoint_in_removal(self, generation: int) -> Path:
        return self.checkpoints / f".{generation}.removed"

    @property
    def live(self) -> Path:
        return self.folder / "live"

    @property
    def live_session(self) -> Path:
        return self.live / "session.json"

    @property
    def current(self) -> Path:
        return self.folder / "current"
