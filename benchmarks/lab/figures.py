"""Figures as the benchmarks give them: medians over runs, a figure with its unit, the machine in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Figures = dict[str, Any]


def medians(runs: Sequence[Figures]) -> Figures:
    """One entry of figures, the median of each over the runs; groups of figures likewise."""
    first = runs[0]
    return {
        name: medians([run[name] for run in runs])
        if isinstance(first[name], dict)
        else rounded(name, [run[name] for run in runs])
        for name in first
    }


def rounded(name: str, values: Sequence[float]) -> float | int:
    """The median: whole bytes, or seconds to the millisecond."""
    return int(median(values)) if name.endswith("bytes") or "_bytes_" in name else round(median(values), 3)


def shown(name: str, value: float | None) -> str:
    """A figure with its unit; nothing for one that a side does not have."""
    if value is None:
        return ""
    return f"{value / 1e6:,.1f} MB" if "bytes" in name else f"{value:,.2f} s"


def speeds_of(throttle: Mapping[str, Any]) -> str:
    """The throttled device's speeds: what they are to be, and what they are."""
    limits, measured = throttle["limits"], throttle["measured"]
    return ", ".join(
        f"{name} {limits[key] / 1e6:.0f} MB/s (measured {measured[key] / 1e6:.1f})"
        for name, key in (("read", "read_bytes_per_second"), ("write", "write_bytes_per_second"))
    )


def machine_line(machine: Mapping[str, Any], vmm: str) -> str:
    """What the benchmark ran on."""
    return (
        f"machine: {machine['cores']} cores {machine['cpu']}, {machine['memory_mib']} MiB, Linux {machine['kernel']}, "
        f"load {machine['load']}; {vmm} emulating in software."
    )
