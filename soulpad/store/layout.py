"""Where things lie in the store's file system.

log/stages.jsonl                        stage times of every resume and suspend, one JSON object a line
parcels/UUID/parcel.json                who the parcel is, and its frozen machine
parcels/UUID/checkpoints/GEN/           immutable: checkpoint.json, disk-N.img, ram.img, device-state; working-set
parcels/UUID/live/                      scratch of the running session, and session.json
parcels/UUID/kept/NAME/                 what a crash left and the user did not choose
parcels/UUID/current                    the generation, in decimal: the commit point of a suspend
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PARCELS = PurePosixPath("parcels")
STAGE_LOG = PurePosixPath("log/stages.jsonl")


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

    @property
    def live(self) -> Path:
        return self.folder / "live"

    @property
    def live_session(self) -> Path:
        return self.live / "session.json"

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    @property
    def current(self) -> Path:
        return self.folder / "current"
