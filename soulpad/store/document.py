"""Small JSON documents with a versioned format name, parsed once at the boundary.

A document is one JSON object whose ``format`` is ``NAME/VERSION``. A reader knows one name and one
version; anything else is refused with what to do about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from soulpad.base.errors import StoreDamaged, UnknownFormat

Fields = Mapping[str, Any]


def encode(format_name: str, fields: Fields) -> bytes:
    """The bytes of a document."""
    return (json.dumps({"format": format_name, **fields}, indent=1, sort_keys=False) + "\n").encode()


def decode(content: bytes, format_name: str, where: str) -> Reader:
    """Parses a document; raises StoreDamaged when it is none, UnknownFormat when it is another version's."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StoreDamaged(f"{where} is damaged: {error}", "the other checkpoints are untouched") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), str):
        raise StoreDamaged(f"{where} is damaged: it names no format", "the other checkpoints are untouched")
    if fields["format"] != format_name:
        raise UnknownFormat(
            f"{where} is of format {fields['format']!r}, this program reads {format_name!r}",
            "use a stick or program of the version that wrote it",
        )
    return Reader(fields, where)


def read(path: Path, format_name: str) -> Reader:
    """Reads and parses the document at ``path``."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreDamaged(
            f"{path.name} is missing in {path.parent.name}", "the other checkpoints are untouched"
        ) from None
    return decode(content, format_name, path.name)


class Reader:
    """Takes typed fields out of a document; a missing or mistyped one raises StoreDamaged."""

    def __init__(self, fields: Fields, where: str) -> None:
        self._fields = fields
        self._where = where

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        return value if isinstance(value, str) else self._refuse(name, "text")

    def count(self, name: str) -> int:
        value = self._fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        return self._refuse(name, "a whole number, not negative")

    def optional_text(self, name: str) -> str | None:
        return None if self._fields.get(name) is None else self.text(name)

    def optional_count(self, name: str) -> int | None:
        return None if self._fields.get(name) is None else self.count(name)

    def optional_part(self, name: str) -> Reader | None:
        return None if self._fields.get(name) is None else self.part(name)

    def part(self, name: str) -> Reader:
        value = self._fields.get(name)
        return Reader(value, f"{self._where}: {name}") if isinstance(value, dict) else self._refuse(name, "an object")

    def parts(self, name: str) -> list[Reader]:
        value = self._fields.get(name)
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return [Reader(item, f"{self._where}: {name}[{index}]") for index, item in enumerate(value)]
        return self._refuse(name, "a list of objects")

    def _refuse(self, name: str, kind: str) -> NoReturn:
        raise StoreDamaged(f"{self._where} is damaged: {name!r} is not {kind}", "the other checkpoints are untouched")
