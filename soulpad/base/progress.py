"""How long work tells a person, or nobody, how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A step has a name; within it, ``done`` of ``total`` bytes are through."""

    def step(self, name: str) -> None: ...

    def advance(self, done_bytes: int, total_bytes: int) -> None: ...


class Silent:
    """Tells nobody."""

    def step(self, name: str) -> None:
        """Nothing is shown."""

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        """Nothing is shown."""
