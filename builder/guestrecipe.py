"""The recipe of a guest: a TOML file, parsed once into a frozen type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.recipe import read_toml
from soulpad.base.errors import BadInput
from soulpad.base.units import MIB, parse_bytes

_SETTINGS: Mapping[str, type] = {
    "pattern_mib": int,
    "verify_mib_per_second": int,
    "marker_in_memory": str,
    "marker_on_disk": str,
}
_MEMORY_BESIDE_PATTERN_MIB = 160
_MOST_MARKER_CHARACTERS = 120
_EXAMPLE = "compare it with images/guest-demo.toml"


@dataclass(frozen=True)
class GuestRecipe:
    """``images/guest-demo.toml``. ``memory_mib``: what the guest's machine gets. ``settings``: what becomes
    ``/etc/demo-soul.conf``."""

    name: str
    elements: tuple[str, ...]
    disk_bytes: int
    memory_mib: int
    settings: tuple[tuple[str, str], ...]


def read_guest_recipe(path: Path) -> GuestRecipe:
    """Parses a guest's recipe; raises BadInput naming the field that is wrong."""
    table = read_toml(path)
    kinds: Mapping[str, type] = {"name": str, "elements": list, "disk_size": str, "memory_mib": int, "settings": dict}
    _require(table, kinds, str(path))
    _refuse_unknown(table, kinds, str(path))
    _require(
        {**table["settings"]}, {name: _SETTINGS[name] for name in table["settings"] if name in _SETTINGS}, str(path)
    )
    _refuse_unknown(table["settings"], _SETTINGS, f"{path}: settings")
    recipe = GuestRecipe(
        name=table["name"],
        elements=tuple(map(str, table["elements"])),
        disk_bytes=parse_bytes(table["disk_size"]),
        memory_mib=table["memory_mib"],
        settings=tuple((name, str(value)) for name, value in sorted(table["settings"].items())),
    )
    return _checked(recipe, path)


def _checked(recipe: GuestRecipe, path: Path) -> GuestRecipe:
    values = dict(recipe.settings)
    if not recipe.elements:
        raise BadInput(f"{path}: elements is empty", _EXAMPLE)
    if recipe.disk_bytes % MIB or not 512 * MIB <= recipe.disk_bytes < 2 << 40:
        raise BadInput(f"{path}: disk_size must be whole MiB, at least 512MiB, below 2TiB", _EXAMPLE)
    if int(values.get("pattern_mib", 0)) + _MEMORY_BESIDE_PATTERN_MIB > recipe.memory_mib:
        raise BadInput(
            f"{path}: a pattern of {values['pattern_mib']} MiB does not fit into {recipe.memory_mib} MiB of memory",
            f"leave {_MEMORY_BESIDE_PATTERN_MIB} MiB for Debian itself",
        )
    for name in ("marker_in_memory", "marker_on_disk"):
        marker = values.get(name, "")
        if not (marker.isascii() and (marker.isprintable()) and len(marker) <= _MOST_MARKER_CHARACTERS):
            raise BadInput(f"{path}: {name} must be plain text of up to {_MOST_MARKER_CHARACTERS} characters", _EXAMPLE)
    return recipe


def _require(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    for name, kind in kinds.items():
        value = table.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise BadInput(f"{where}: {name} must be given and be a {kind.__name__}", _EXAMPLE)


def _refuse_unknown(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    if unknown := sorted(set(table) - set(kinds)):
        raise BadInput(f"{where}: unknown field {unknown[0]!r}", f"known are: {', '.join(kinds)}")
