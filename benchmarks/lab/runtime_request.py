"""What the runtime benchmark asks its part in the host's root to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.lab.throttle import Speeds

# The compared machine: ordinary memory and a plain disk file, never suspended.
SideName = Literal["ours", "ours_checkpoints", "plain"]
Part = Literal["speed", "bytes"]
Kind = Literal["memory-write", "memory-read", "disk-write", "disk-read"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SIDES: dict[Part, tuple[SideName, ...]] = {"speed": ("ours", "plain"), "bytes": ("ours", "ours_checkpoints", "plain")}


@dataclass(frozen=True)
class Load:
    """What the guest does, and for how long.

    ``memory_set_mib``, ``disk_set_mib``: what its work goes round. For the speed it works ``work_seconds`` long, in
    turns of ``turn_ms`` of each kind. For the bytes it idles and then is busy; where checkpoints are made, so many
    seconds lie between two.
    """

    memory_set_mib: int = 128
    disk_set_mib: int = 64
    turn_ms: int = 500
    work_seconds: int = 120
    idle_minutes: float = 10
    busy_minutes: float = 10
    checkpoint_seconds: float = 180

    def set_mib(self, kind: Kind) -> int:
        """What work of this kind goes round."""
        return self.memory_set_mib if kind.startswith("memory") else self.disk_set_mib


@dataclass(frozen=True)
class Request:
    """One side of one part. ``device`` is the store's, over the ``throttled`` one. ``pattern_mib``: memory that the
    guest fills and checks at the end."""

    part: Part
    side: SideName
    device: Path
    throttled: Path
    limits: Speeds
    pattern_mib: int
    load: Load

    def to_fields(self) -> dict[str, Any]:
        return asdict(self) | {"device": str(self.device), "throttled": str(self.throttled)}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Request:
        parsed = {
            "device": Path(fields["device"]),
            "throttled": Path(fields["throttled"]),
            "limits": Speeds(**fields["limits"]),
            "load": Load(**fields["load"]),
        }
        return cls(**fields | parsed)
