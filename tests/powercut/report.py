"""What was asked, and what was found: as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE
from rich.table import Table

from tests.powercut.blocklog import BlockLog
from tests.powercut.replay import Span, Verdict

Control = Literal["", "flushes-ignored", "fsync-left-out", "flush-left-out"]
CONTROLS: tuple[Control, ...] = ("flushes-ignored", "fsync-left-out", "flush-left-out")
# what the next start did -> the table's head
HEADS = {
    "resumed": "resumed",
    "adopted": "adopted",
    "back to checkpoint": "back",
    "back to older": "older",
    "from the disk": "disk",
}
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """``cuts``: at least so many. ``control``: what is broken on purpose. ``keep``: a folder for the images of cuts
    that something was lost by, or nothing."""

    cuts: int
    seed: int
    control: Control = ""
    keep: str = ""


def report_of(request: Request, log: BlockLog, spans: Sequence[Span], verdicts: Sequence[Verdict]) -> Report:
    """The report, all of it plain values."""
    flushes = sum(entry.is_flush for entry in log.entries)
    phases = list(dict.fromkeys(span.phase for span in spans))
    return {
        "seed": request.seed,
        "control": request.control,
        "writes": len(log.entries) - flushes,
        "flushes": flushes,
        "cuts": len(verdicts),
        "phases": [phase_entry(phase, spans, verdicts) for phase in phases],
        "violations": [violation_entry(verdict) for verdict in verdicts if verdict.violations],
    }


def phase_entry(phase: str, spans: Sequence[Span], verdicts: Sequence[Verdict]) -> Report:
    """One phase. ``points``: how many it has; ``outcomes``: what the next start did, and how often."""
    own = [verdict for verdict in verdicts if verdict.cut.phase == phase]
    return {
        "phase": phase,
        "points": sum(len(span.points) for span in spans if span.phase == phase),
        "cuts": len(own),
        "points_cut": len({verdict.cut.told for verdict in own}),
        "outcomes": dict(sorted(Counter(verdict.outcome for verdict in own).items())),
        "violations": sum(bool(verdict.violations) for verdict in own),
    }


def violation_entry(verdict: Verdict) -> Report:
    """A cut that something was lost by."""
    cut = verdict.cut
    return {
        "phase": cut.phase,
        "told": cut.told,
        "seed": cut.seed,
        "outcome": verdict.outcome,
        "what": list(verdict.violations),
    }


def table(report: Report) -> Table:
    """For people: a line per phase. A start that adopted a checkpoint and asked as well is counted as both."""
    heads = ("phase", "points", "cuts", *HEADS.values(), "wrong")
    result = Table(title=f"Power cuts, seed {report['seed']}", box=SIMPLE, collapse_padding=True, pad_edge=False)
    for head in heads:
        result.add_column(head, justify="left" if head == "phase" else "right", no_wrap=True)
    for phase in report["phases"]:
        counts = [outcome_count(phase["outcomes"], outcome) for outcome in HEADS]
        cells = (phase["phase"], phase["points"], phase["cuts"], *counts, phase["violations"])
        result.add_row(*(str(cell) for cell in cells))
    result.add_section()
    points = sum(phase["points"] for phase in report["phases"])
    cells = ("all", points, report["cuts"], *[""] * len(HEADS), len(report["violations"]))
    result.add_row(*(str(cell) for cell in cells))
    return result


def outcome_count(outcomes: Mapping[str, int], wanted: str) -> int:
    """How many of the next starts did something."""
    return sum(count for outcome, count in outcomes.items() if wanted in outcome.split(", "))


def sentences(report: Report) -> list[str]:
    """For people: each violation."""
    return [
        f"{found['phase']}, after {found['told']} requests (seed {found['seed']}), {found['outcome']}: {what}"
        for found in report["violations"]
        for what in found["what"]
    ]
