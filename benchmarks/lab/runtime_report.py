"""What the runtime benchmark says: rates and their ratios soon after a resume and later, and bytes a minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from rich.table import Table

from benchmarks.lab.figures import Figures, machine_line, speeds_of
from benchmarks.lab.runtime_request import KINDS, SIDES

GOAL = 1.05  # times as long as on the plain machine, once a minute has gone by
TITLES = {
    "memory-write": "memory written",
    "memory-read": "memory read",
    "disk-write": "disk written, durably",
    "disk-read": "disk read",
    "all": "all four",
}
SIDE_TITLES = {"ours": "SoulPad, no checkpoints", "ours_checkpoints": "SoulPad", "plain": "plain"}


@dataclass(frozen=True)
class Window:
    """Seconds after the resume, from the first to before the last."""

    title: str
    from_seconds: float
    to_seconds: float

    def has(self, turn: Figures) -> bool:
        """Whether the turn of work began in it."""
        return self.from_seconds <= float(turn["at_seconds"]) < self.to_seconds


def windows(work_seconds: float) -> dict[str, Window]:
    """What is compared, by name."""
    return {
        "first_ten_seconds": Window("first 10 s", 0, 10),
        "until_a_minute": Window("10 to 60 s", 10, 60),
        "after_a_minute": Window("after a minute", 60, work_seconds),
    }


# --- speed


def speed_report(runs: Sequence[Mapping[str, Sequence[Figures]]], work_seconds: float) -> Figures:
    """From each run's turns by side: the windows over all runs, whether the goal is met, and each run's ratios."""
    pooled: dict[str, list[Figures]] = {side: [turn for run in runs for turn in run[side]] for side in SIDES["speed"]}
    chosen = windows(work_seconds)
    compared = {name: compared_in(window, pooled) for name, window in chosen.items()}
    return {
        "windows": compared,
        "goal": GOAL,
        "goal_met": compared["after_a_minute"]["ratios"]["all"] <= GOAL,
        "each": [{name: compared_in(window, run)["ratios"] for name, window in chosen.items()} for run in runs],
    }


def compared_in(window: Window, turns: Mapping[str, Sequence[Figures]]) -> Figures:
    """Both sides' MiB a second in a window, and how many times as long ours takes for the same."""
    ours, plain = (rates([turn for turn in turns[side] if window.has(turn)]) for side in ("ours", "plain"))
    return {"ours": ours, "plain": plain, "ratios": slowdowns(ours, plain)}


def rates(turns: Sequence[Figures]) -> dict[str, float]:
    """MiB a second of each kind of work, over all its turns."""
    result: dict[str, float] = {}
    for kind in KINDS:
        own = [turn for turn in turns if turn["kind"] == kind]
        seconds = sum(turn["seconds"] for turn in own)
        result[kind] = round(sum(turn["mib"] for turn in own) / seconds, 2) if seconds else 0.0
    return result


def slowdowns(ours: Mapping[str, float], plain: Mapping[str, float]) -> dict[str, float]:
    """How many times as long ours takes, by kind; ``all``: their geometric mean. A side that did nothing in a window
    has no ratio."""
    found = {kind: plain[kind] / ours[kind] for kind in KINDS if ours[kind] and plain[kind]}
    everything = prod(found.values()) ** (1 / len(found)) if found else 0.0
    return {name: round(value, 3) for name, value in (found | {"all": everything}).items()}


# --- bytes


def bytes_report(sides: Mapping[str, Mapping[str, Figures]]) -> Figures:
    """From each side's periods: its bytes a minute, idle and busy."""
    return {name: {side: per_minute(periods[name]) for side, periods in sides.items()} for name in ("idle", "busy")}


def per_minute(period: Figures) -> Figures:
    """A period with its bytes a minute; how many checkpoints there were, and the longest standstill for one."""
    minutes = period["seconds"] / 60
    checkpoints = period["checkpoints"]
    stood_still = [stages["VM stopped"] for stages in checkpoints]
    return {
        **period,
        "written_bytes_per_minute": int(period["written_bytes"] / minutes),
        "read_bytes_per_minute": int(period["read_bytes"] / minutes),
        "checkpoints": len(checkpoints),
        "checkpoint_stages": checkpoints,
        "longest_stop_seconds": max(stood_still, default=0.0),
    }


# --- for people


def speed_table(report: Figures) -> Table:
    """The rates of both sides in each window."""
    load = report["load"]
    title = f"Work after a resume: {load['memory_set_mib']} MiB of memory, {load['disk_set_mib']} MiB of disk; MiB/s"
    result = Table("", "SoulPad", "plain", "ratio", title=title, title_justify="left")
    for name, window in windows(load["work_seconds"]).items():
        entry = report["speed"]["windows"][name]
        for kind, words in TITLES.items():
            result.add_row(f"{window.title}: {words}", *speed_cells(entry, kind))
        result.add_section()
    return result


def speed_cells(entry: Figures, name: str) -> list[str]:
    """Ours, plain, ratio; rates only where there is one."""
    ratio = entry["ratios"].get(name)
    shown_rates = [f"{entry[side][name]:,.1f}" if name in entry[side] else "" for side in ("ours", "plain")]
    return [*shown_rates, "" if ratio is None else f"{ratio:.2f}"]


def bytes_table(report: Figures) -> Table:
    """What went over the device, in MB a minute."""
    result = Table("", *SIDE_TITLES.values(), title="Bytes over the stick, MB a minute", title_justify="left")
    for name in ("idle", "busy"):
        for figure, words in (("written", f"{name} guest: written"), ("read", f"{name} guest: read")):
            periods = [report["bytes"][name][side] for side in SIDE_TITLES]
            cells = [f"{period[f'{figure}_bytes_per_minute'] / 1e6:,.2f}" for period in periods]
            result.add_row(words, *cells)
    busy = [report["bytes"]["busy"][side] for side in SIDE_TITLES]
    result.add_row("busy guest: a round of its work", *(f"{period['round_seconds']:.2f} s" for period in busy))
    return result


def facts(report: Figures) -> list[str]:
    """The lines below the tables."""
    return [
        *(speed_facts(report["speed"], report["runs"]) if report["speed"] else []),
        *(bytes_facts(report["bytes"], report["load"]) if report["bytes"] else []),
        f"stick: {speeds_of(report['throttle'])}. Memory that changed waits for a checkpoint, up to "
        f"{report['waiting_bytes'] / 1e6:.0f} MB.",
        "The plain machine was never suspended: anonymous memory, huge pages as QEMU asks for them, its disk a file.",
        machine_line(report["machine"], report["vmm"]),
    ]


def speed_facts(speed: Figures, runs: int) -> list[str]:
    reached = "met" if speed["goal_met"] else "NOT met"
    found = speed["windows"]["after_a_minute"]["ratios"]["all"]
    return [
        f"goal, at most {speed['goal']} times as long after a minute: {reached} ({found:.2f})",
        f"runs: {runs}; all sides at the same time. The guests' memory was checked after the work.",
    ]


def bytes_facts(traffic: Figures, load: Figures) -> list[str]:
    idle, busy = (traffic[name]["ours_checkpoints"] for name in ("idle", "busy"))
    longest = max(idle["longest_stop_seconds"], busy["longest_stop_seconds"])
    return [
        f"bytes: {load['idle_minutes']:g} minutes idle, {load['busy_minutes']:g} busy; {idle['checkpoints']} and "
        f"{busy['checkpoints']} checkpoints, for each of which the guest stood still for {longest:.2f} s at most.",
    ]


def throttle_report(limits: Mapping[str, Any], measured: Figures) -> Figures:
    """The throttle's part of the JSON."""
    return {"limits": dict(limits), "measured": measured}
