"""Recipes: TOML files that say what to build, parsed once into frozen types."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soulpad.base.errors import BadInput


@dataclass(frozen=True)
class HostRecipe:
    """``images/host.toml``. ``compression_level``: zstd's, 1 to 22."""

    name: str
    elements: tuple[str, ...]
    firmware: bool
    compression_level: int

    @property
    def all_elements(self) -> tuple[str, ...]:
        """The diskimage-builder elements, with the firmware's when it is wanted."""
        return (*self.elements, "live-host-firmware") if self.firmware else self.elements


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file; raises BadInput."""
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(f"there is no recipe {path}", "the project's own recipes are in images/") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}", "compare it with the recipes in images/") from None


def read_host_recipe(path: Path) -> HostRecipe:
    """Parses a host recipe; raises BadInput naming the field that is wrong."""
    table = read_toml(path)
    fields = {"name": str, "elements": list, "firmware": bool, "compression_level": int}
    for name, kind in fields.items():
        if not isinstance(table.get(name), kind):
            raise BadInput(f"{path}: {name} must be given and be a {kind.__name__}", "compare it with images/host.toml")
    if unknown := sorted(set(table) - set(fields)):
        raise BadInput(f"{path}: unknown field {unknown[0]!r}", f"known are: {', '.join(fields)}")
    if not 1 <= table["compression_level"] <= 22:
        raise BadInput(f"{path}: compression_level must be 1 to 22", "15 is a good one")
    return HostRecipe(table["name"], tuple(table["elements"]), table["firmware"], table["compression_level"])
