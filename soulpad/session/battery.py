"""How full the PC's batteries are. Source: Documentation/ABI/testing/sysfs-class-power."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWER_SUPPLIES = Path("/sys/class/power_supply")


@dataclass(frozen=True)
class Battery:
    """All batteries of the PC together. ``percent``: 0 to 100, the mean; ``discharging``: none is being charged."""

    percent: int
    discharging: bool


def read_battery(folder: Path = POWER_SUPPLIES) -> Battery | None:
    """None on a PC without a battery that says how full it is. A mouse's battery is not the PC's."""
    levels, states = [], set()
    for supply in sorted(folder.iterdir()) if folder.is_dir() else []:
        if _read(supply / "type") != "Battery" or _read(supply / "scope") == "Device":
            continue
        level = _read(supply / "capacity")
        if level.isdecimal():
            levels.append(min(100, int(level)))
            states.add(_read(supply / "status"))
    if not levels:
        return None
    return Battery(sum(levels) // len(levels), "Discharging" in states and "Charging" not in states)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # not every battery has every file, and some fail while they are read
        return ""
