"""Where an operation's bytes came from, and how many did not have to come: what is said in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lookaside.source import Tally
from soulpad.base.units import format_bytes


@dataclass(frozen=True)
class Came:
    """``tallies``: by source, in the order in which they were asked. ``whole_bytes``: of all that there is now; what no
    source gave of it did not have to come: zeros, what was there already, and what stands there more than once."""

    tallies: Mapping[str, Tally]
    whole_bytes: int

    @property
    def came_bytes(self) -> int:
        return sum(tally.content_bytes for tally in self.tallies.values())

    @property
    def spared_bytes(self) -> int:
        return max(0, self.whole_bytes - self.came_bytes)

    def to_fields(self) -> dict[str, Any]:
        """For ``--json``."""
        sources = [
            {
                "name": name,
                "chunks": tally.chunks,
                "bytes": tally.content_bytes,
                "missing": tally.missing,
                "corrupt": tally.corrupt,
                "failed": tally.failed,
            }
            for name, tally in self.tallies.items()
        ]
        return {"sources": sources, "came_bytes": self.came_bytes, "spared_bytes": self.spared_bytes}

    def lines(self) -> list[str]:
        """For people, a line for each source and one for the rest."""
        lines = [
            f"{format_bytes(tally.content_bytes)} from {name}{reproach(tally)}" for name, tally in self.tallies.items()
        ]
        return [*lines, f"{format_bytes(self.spared_bytes)} of {format_bytes(self.whole_bytes)} did not have to come"]


def reproach(tally: Tally) -> str:
    """What was wrong with a source, in brackets; nothing if nothing was."""
    complaints = []
    if tally.corrupt:
        complaints.append(f"{tally.corrupt} damaged")
    if tally.failed:
        complaints.append("it failed, and was asked no more")
    return f" ({', '.join(complaints)})" if complaints else ""
