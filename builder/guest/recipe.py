"""The recipe of a guest: a TOML file, parsed once into a frozen type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.host.recipe import read_toml
from soulpad.base.errors import BadInput
from soulpad.base.units import MIB, parse_bytes

_FIELDS: Mapping[str, type] = {
    "name": str,
    "elements": list,
    "disk_size": str,
    "memory_mib": int,
}
_SETTINGS: Mapping[str, type] = {
    "pattern_mib": int,
    "verify_mib_per_second": int,
    "marker_in_memory": str,
    "marker_on_disk": str,
}
_SAID = {str: "a text", int: "a whole number", list: "a list", dict: "a table"}
_MEMORY_BESIDE_PATTERN_MIB = 160
_LEAST_DISK_BYTES, _MOST_DISK_BYTES = 512 * MIB, 2 << 40  # an MBR counts 512-byte sectors in 32 bits
_MOST_MARKER_CHARACTERS = 120
_EXAMPLE = "compare it with images/guest-demo.toml"


@dataclass(frozen=True)
class GuestRecipe:
    """``images/guest-*.toml``. ``memory_mib``: what the guest's machine gets. ``settings``: what becomes
    ``/etc/demo-soul.conf`` in a guest of the demonstration; any other guest has none."""

    name: str
    elements: tuple[str, ...]
    disk_bytes: int
    memory_mib: int
    settings: tuple[tuple[str, str], ...]


def read_guest_recipe(path: Path) -> GuestRecipe:
    """Parses a guest's recipe; raises BadInput naming the field that is wrong."""
    table = read_toml(path)
    demonstration = "settings" in table
    _require(table, {**_FIELDS, "settings": dict} if demonstration else _FIELDS, str(path))
    if demonstration:
        _require(table["settings"], _SETTINGS, f"{path}: settings")
    recipe = GuestRecipe(
        name=table["name"],
        elements=tuple(table["elements"]),
        disk_bytes=parse_bytes(table["disk_size"]),
        memory_mib=table["memory_mib"],
        settings=tuple((name, str(table["settings"][name])) for name in _SETTINGS if demonstration),
    )
    for wrong in _wrongs(recipe):
        raise BadInput(f"{path}: {wrong}", _EXAMPLE)
    return recipe


def _wrongs(recipe: GuestRecipe) -> Iterator[str]:
    """What cannot be, though each field is of the right kind."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", recipe.name):
        yield "name must be letters, digits and hyphens: it becomes a file's name"
    if not recipe.elements or not all(isinstance(element, str) for element in recipe.elements):
        yield "elements must name at least one element"
    if recipe.disk_bytes % MIB or not _LEAST_DISK_BYTES <= recipe.disk_bytes < _MOST_DISK_BYTES:
        yield "disk_size must be whole MiB, at least 512MiB, below 2TiB"
    if recipe.settings:
        yield from _wrong_settings(dict(recipe.settings), recipe.memory_mib)


def _wrong_settings(values: Mapping[str, str], memory_mib: int) -> Iterator[str]:
    if int(values["pattern_mib"]) + _MEMORY_BESIDE_PATTERN_MIB > memory_mib:
        yield f"pattern_mib and {_MEMORY_BESIDE_PATTERN_MIB} MiB for Debian do not fit into memory_mib"
    for name in ("marker_in_memory", "marker_on_disk"):
        marker = values[name]
        if not marker.isascii() or not marker.isprintable() or not 8 <= len(marker) <= _MOST_MARKER_CHARACTERS:
            yield f"{name} must be 8 to {_MOST_MARKER_CHARACTERS} plain characters"


def _require(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    """Raises BadInput unless ``table`` has these fields, of these kinds, and no other."""
    for name, kind in kinds.items():
        value = table.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise BadInput(f"{where}: {name} must be given and be {_SAID[kind]}", _EXAMPLE)
    if unknown := sorted(set(table) - set(kinds)):
        raise BadInput(f"{where}: unknown field {unknown[0]!r}", f"known are: {', '.join(kinds)}")
