"""What the resume benchmark says: ratios, and a table for people."""

from __future__ import annotations

from rich.table import Table

from benchmarks.lab.figures import Figures, machine_line, medians, shown, speeds_of

COMPARED = ("resume_seconds", "read_bytes_before_output", "suspend_seconds", "suspend_written_bytes")
TITLES = {
    "resume_seconds": "resume to first output",
    "read_bytes_before_output": "read before it",
    "first_resume_seconds": "a parcel's first resume",
    "first_read_bytes_before_output": "read before it",
    "suspend_seconds": "suspend",
    "suspend_written_bytes": "written by it",
    "suspend_after_work_seconds": "suspend after work",
    "suspend_after_work_written_bytes": "written by it",
    "checkpoint_seconds": "checkpoint beside the session, after work",
    "checkpoint_stopped_seconds": "guest stood still for it",
    "checkpoint_written_bytes": "written by it",
}


def ratios(ours: Figures, other: Figures) -> dict[str, float]:
    """How many times more the other side needs, figure by figure."""
    return {name: round(other[name] / ours[name], 1) for name in COMPARED if ours[name]}


def size_entry(memory_mib: int, touched_mib: int, work_mib: int, sides: dict[str, list[Figures]]) -> Figures:
    """The JSON of one size from the runs of both sides."""
    ours, managed = medians(sides["ours"]), medians(sides["managed_save"])
    return {
        "memory_mib": memory_mib,
        "touched_mib": touched_mib,
        "work_mib": work_mib,
        "ours": ours | {"each": sides["ours"]},
        "managed_save": managed | {"each": sides["managed_save"]},
        "ratios": ratios(ours, managed),
    }


def table(size: Figures) -> Table:
    """The figures of one size for people."""
    title = f"{size['memory_mib']} MiB guest, {size['touched_mib']} MiB of it filled"
    result = Table("", "SoulPad", "managed save", "ratio", title=title, title_justify="left")
    for name, words in TITLES.items():
        words = f"{words} ({size['work_mib']} MiB)" if words.endswith("after work") else words
        other, ratio = size["managed_save"].get(name), size["ratios"].get(name)
        result.add_row(words, shown(name, size["ours"][name]), shown(name, other), f"{ratio}" if ratio else "")
    return result


def facts(report: Figures) -> list[str]:
    """The lines below the tables."""
    sides = report["throttle"]["read_ahead_kib"].items()
    read_ahead = "read-ahead " + ", ".join(f"{kib} KiB ({side.replace('_', ' ')})" for side, kib in sides)
    return [
        f"runs: {report['runs']} of each; medians. Every guest's memory was checked after every resume.",
        f"store: {speeds_of(report['throttle'])}, {read_ahead}; cold. "
        "QEMU and its libraries: in the page cache, for both sides.",
        machine_line(report["machine"], report["vmm"]),
    ]
