"""What the cycles benchmark asks of the part that mounts the stores."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.lab.cycles_load import Load
from benchmarks.lab.throttle import Speeds


@dataclass(frozen=True)
class Variant:
    """One way to keep a store. ``cow_extent_kib``: the file system's hint on the parcel's folder (0: as it was made).
    ``smooth_extents``: how many extents a file may have before it is smoothed (0: it never is)."""

    name: str
    read_ahead_kib: int
    cow_extent_kib: int = 0
    smooth_extents: int = 0


@dataclass(frozen=True)
class Side:
    """A variant, the device that its store is on, and the folder where it is mounted."""

    variant: Variant
    device: Path
    root: Path


@dataclass(frozen=True)
class Request:
    """``limits``: of every device while something is measured (None: as fast as it is). ``checkpoint_every``: after so
    many cycles a checkpoint is made beside the session."""

    sides: tuple[Side, ...]
    load: Load
    limits: Speeds | None
    cycles: int
    checkpoint_every: int

    def to_fields(self) -> dict[str, Any]:
        sides = [asdict(side) | {"device": str(side.device), "root": str(side.root)} for side in self.sides]
        return asdict(self) | {"sides": sides}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Request:
        sides = tuple(
            Side(Variant(**side["variant"]), Path(side["device"]), Path(side["root"])) for side in fields["sides"]
        )
        limits = Speeds(**fields["limits"]) if fields["limits"] else None
        return cls(**fields | {"sides": sides, "load": Load(**fields["load"]), "limits": limits})
