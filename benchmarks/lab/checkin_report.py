"""What the benchmark of backups says: each version by each side, ratios, and goals beside figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from benchmarks.lab.figures import Figures, medians, shown

COMPARED = ("seconds", "cpu_seconds", "stored_bytes", "peak_bytes")
GOAL_LIGHT_DAY = 0.1  # of restic's seconds
GOAL_STORED = 1.0  # of the best peer's bytes
GOAL_MEMORY = 0.25  # of what differencing by pages of 4 KiB takes

Runs = list[dict[str, list[Figures]]]  # each run: side -> its versions


def series_entry(titles: list[str], runs: Runs) -> Figures:
    """The JSON of one series: versions, each with each side's medians, and the peers' to ours."""
    versions: list[Figures] = []
    for number, title in enumerate(titles):
        sides = {name: medians([{key: run[name][number][key] for key in COMPARED} for run in runs]) for name in runs[0]}
        ratios = {name: ratios_of(figures, sides["ours"]) for name, figures in sides.items() if name != "ours"}
        versions.append({"version": title, **sides, "ratios": ratios})
    stored = {name: sum(version[name]["stored_bytes"] for version in versions) for name in runs[0]}
    return {"versions": versions, "stored_bytes": stored}


def ratios_of(peer: Figures, ours: Figures) -> dict[str, float]:
    """How many times more the peer needs."""
    return {name: round(peer[name] / ours[name], 2) for name in COMPARED if ours[name]}


def goals(disks: Figures, memories: Figures) -> list[Figures]:
    """Each goal with what was found."""
    light = disks["versions"][-1]
    stored = disks["stored_bytes"]
    best = min(stored[name] for name in stored if name != "ours")
    later = range(1, len(memories["memory_bytes"]))
    ours, plain = (sum(memories[key][at] for at in later) for key in ("memory_bytes", "differenced_bytes"))
    return [
        goal("a light day, of restic's seconds", light["ours"]["seconds"] / light["restic"]["seconds"], GOAL_LIGHT_DAY),
        goal("stored of the disk's versions, of the best peer's", stored["ours"] / best, GOAL_STORED),
        goal("stored of later memories, of differencing by 4 KiB", ours / plain, GOAL_MEMORY),
    ]


def goal(what: str, found: float, most: float) -> Figures:
    return {"what": what, "found": round(found, 3), "at_most": most, "met": found <= most}


def tables(report: Mapping[str, Any]) -> list[Table]:
    """A table for each version, and one of the goals."""
    result = []
    for kind in ("disks", "memories"):
        for version in report[kind]["versions"]:
            names = [name for name in version if name not in ("version", "ratios")]
            table = Table("", *names, title=version["version"], title_justify="left")
            for key in COMPARED:
                table.add_row(key.replace("_", " "), *(shown(key, version[name][key]) for name in names))
            result.append(table)
    judged = Table("", "found", "at most", "", title="goals", title_justify="left")
    for entry in report["goals"]:
        judged.add_row(entry["what"], f"{entry['found']}", f"{entry['at_most']}", "met" if entry["met"] else "missed")
    return [*result, judged]


def facts(report: Mapping[str, Any]) -> list[str]:
    """The lines below the tables."""
    machine, memories = report["machine"], report["memories"]
    pairs = zip(memories["memory_bytes"], memories["differenced_bytes"], strict=True)
    return [
        "memories, ours / by pages of 4 KiB: " + ", ".join(f"{a / 1e6:.1f} / {b / 1e6:.1f} MB" for a, b in pairs),
        f"runs: {report['runs']} of each; medians. Files in the page cache; XFS with reflinks; repositories elsewhere.",
        f"peers: {', '.join(f'{name} {version}' for name, version in report['peers'].items())}.",
        f"machine: {machine['cores']} cores {machine['cpu']}, {machine['memory_mib']} MiB, Linux {machine['kernel']}, "
        f"load {machine['load']}.",
    ]
