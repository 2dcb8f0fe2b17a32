"""What the cycles benchmark says: each figure of the last cycles against the first ones, and against the product's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from rich.table import Table

Figures = dict[str, Any]

FLAT = 1.25  # times what it was: still flat
WINDOW_CYCLES = 10
TITLES = {
    "begin_seconds": "clone at the begin",
    "pause_seconds": "clone beside the session, in the pause",
    "suspend_seconds": "flush and commit",
    "prune_seconds": "old checkpoint removed",
    "touch_seconds": "first touches after a cold resume",
    "touch_read_bytes": "read by them",
    "ram_extents": "extents of the memory",
    "disk_extents": "extents of the disk",
    "amplification": "bytes written a byte changed",
}


def summary(each: Sequence[Figures]) -> Figures:
    """Means of the first, the middle and the last cycles, how the last ones compare with both, and every cycle.

    The hot set alone makes a file that was written in order fall into pieces, once: a growth that goes on shows
    against the middle.
    """
    counted = min(WINDOW_CYCLES, max(1, len(each) // 3))
    middle = (len(each) - counted) // 2
    first, last = means(each[:counted]), means(each[-counted:])
    between = means(each[middle : middle + counted])
    return {
        "first": first,
        "middle": between,
        "last": last,
        "last_to_first": ratios(first, last),
        "last_to_middle": ratios(between, last),
        "each": list(each),
    }


def means(each: Sequence[Figures]) -> Figures:
    """The mean of each figure over the cycles that have it; amplification over all their bytes."""
    found = {name: [entry[name] for entry in each if name in entry] for name in TITLES}
    written, changed = (sum(entry[name] for entry in each) for name in ("written_bytes", "changed_bytes"))
    result = {name: round(mean(values), 4) for name, values in found.items() if values}
    return result | {"amplification": round(written / changed, 3)}


def ratios(base: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """How many times more than ``base``, figure by figure."""
    return {name: round(other[name] / base[name], 2) for name in TITLES if base.get(name) and name in other}


def compared(found: Mapping[str, Figures], product: str) -> dict[str, dict[str, float]]:
    """Each variant's last cycles against the product's."""
    return {name: ratios(found[product]["last"], entry["last"]) for name, entry in found.items() if name != product}


def flat(entry: Figures) -> dict[str, bool]:
    """Which figures stopped growing."""
    return {name: ratio <= FLAT for name, ratio in entry["last_to_middle"].items()}


def table(name: str, entry: Figures) -> Table:
    """A variant's figures for people."""
    heads = ("", "first", "middle", "last", "last/first", "last/middle")
    result = Table(*heads, title=name, title_justify="left")
    for figure, words in TITLES.items():
        values = (shown(figure, entry[part].get(figure)) for part in ("first", "middle", "last"))
        compared_with = (str(entry[part].get(figure, "")) for part in ("last_to_first", "last_to_middle"))
        result.add_row(words, *values, *compared_with)
    return result


def shown(figure: str, value: float | None) -> str:
    """A figure with its unit; nothing where few cycles had no such step."""
    if value is None:
        return ""
    if "bytes" in figure:
        return f"{value / 1e6:,.1f} MB"
    if "seconds" in figure:
        return f"{value:,.3f} s"
    return f"{value:,.2f}" if figure == "amplification" else f"{value:,.0f}"


def facts(report: Figures) -> list[str]:
    """The lines below the tables."""
    machine, load = report["machine"], report["load"]
    growing = [TITLES[name] for name, is_flat in report["flat"].items() if not is_flat]
    product = report["product"]
    return [
        f"{product}: " + (f"grows on: {', '.join(growing)}" if growing else "all figures stay flat"),
        *(f"{name} against {product}, last cycles: " + ", ".join(f"{TITLES[key]} {ratio}" for key, ratio in row.items())
          for name, row in report["ratios_to_product"].items()),
        f"{report['cycles']} cycles; a guest of {load['memory_mib']} MiB, {load['filled_mib']} MiB filled; "
        f"{throttling(report['limits'])}",
        f"machine: {machine['cores']} cores {machine['cpu']}, {machine['memory_mib']} MiB, Linux {machine['kernel']}, "
        f"load {machine['load']}",
    ]  # fmt: skip


def throttling(limits: Mapping[str, int] | None) -> str:
    """How fast the stores were."""
    if limits is None:
        return "stores not throttled"
    read, write = (limits[f"{name}_bytes_per_second"] / 1e6 for name in ("read", "write"))
    return f"stores throttled while something is measured: read {read:.0f} MB/s, write {write:.0f} MB/s"
