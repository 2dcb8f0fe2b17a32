"""What the resume benchmark asks its part in the host's root to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.lab.throttle import Speeds

SideName = Literal["ours", "managed_save"]
SIDES: tuple[SideName, ...] = get_args(SideName)


@dataclass(frozen=True)
class Request:
    """One side at one size. ``touched_mib``: how much of the guest's memory is filled before it is first suspended.
    ``work_mib``: how much of that it rewrites before the suspend that is measured after work. ``heap_mib``: of what it
    browses, with ``hot_mib`` gone round all the time; 0: it does not browse."""

    side: SideName
    device: Path
    limits: Speeds
    touched_mib: int
    work_mib: int
    runs: int
    heap_mib: int = 0
    hot_mib: int = 0

    def to_fields(self) -> dict[str, Any]:
        return asdict(self) | {"device": str(self.device)}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Request:
        return cls(**fields | {"device": Path(fields["device"]), "limits": Speeds(**fields["limits"])})
