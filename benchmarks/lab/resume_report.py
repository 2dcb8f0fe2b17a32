"""What the resume benchmark says: ratios, and a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.lab.figures import Figures, machine_line, medians, shown, speeds_of

COMPARED = (
    "resume_seconds",
    "read_bytes_before_output",
    "round_done_seconds",
    "read_bytes_before_round",
    "suspend_seconds",
    "suspend_written_bytes",
)
GOAL_OF_SIZES = 1.3  # how many times longer the largest guest may take to resume than the smallest
TITLES = {
    "resume_seconds": "resume to first output",
    "read_bytes_before_output": "read before it",
    "round_done_seconds": "resume to the end of the first whole round",
    "read_bytes_before_round": "read before it",
    "round_seconds": "that round by the guest's clock",
    "steady_round_seconds": "a round before the suspend",
    "first_resume_seconds": "a parcel's first resume",
    "first_read_bytes_before_output": "read before it",
    "first_round_done_seconds": "a parcel's first resume to the end of the round",
    "first_read_bytes_before_round": "read before it",
    "first_round_seconds": "that round by the guest's clock",
    "suspend_seconds": "suspend",
    "suspend_written_bytes": "written by it",
    "changed_bytes": "memory that had changed",
    "emptied_bytes": "of that, zeros now",
    "allowed_bytes": "so it might have written",
    "suspend_after_work_seconds": "suspend after work",
    "suspend_after_work_written_bytes": "written by it",
    "checkpoint_seconds": "checkpoint beside the session, after work",
    "checkpoint_stopped_seconds": "guest stood still for it",
    "checkpoint_written_bytes": "written by it",
}


def ratios(ours: Figures, other: Figures) -> dict[str, float]:
    """How many times more the other side needs, figure by figure."""
    return {name: round(other[name] / ours[name], 1) for name in COMPARED if ours.get(name)}


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


def desktop_entry(guest: Figures, sides: dict[str, list[Figures]]) -> Figures:
    """The JSON of the guest that browses."""
    ours, managed = medians(sides["ours"]), medians(sides["managed_save"])
    return {
        **guest,
        "ours": ours | {"each": sides["ours"]},
        "managed_save": managed | {"each": sides["managed_save"]},
        "ratios": ratios(ours, managed),
    }


def sizes_compared(sizes: Sequence[Figures]) -> Figures | None:
    """How many times longer SoulPad takes to resume the largest guest than the smallest; None for one size."""
    if len(sizes) < 2:
        return None
    ordered = sorted(sizes, key=lambda size: int(size["memory_mib"]))
    smallest, largest = ordered[0], ordered[-1]
    names = ("resume_seconds", "first_resume_seconds", "read_bytes_before_output")
    times = {name: round(largest["ours"][name] / smallest["ours"][name], 2) for name in names}
    return {"memory_mib": [smallest["memory_mib"], largest["memory_mib"]], "goal": GOAL_OF_SIZES} | times


def title_of(guest: Figures) -> str:
    """The heading of a guest's table."""
    if "heap_mib" in guest:
        return f"{guest['memory_mib']} MiB guest that browses {guest['heap_mib']} MiB, {guest['hot_mib']} MiB of it hot"
    return f"{guest['memory_mib']} MiB guest, {guest['touched_mib']} MiB of it filled"


def table(guest: Figures) -> Table:
    """The figures of one guest for people."""
    result = Table("", "SoulPad", "managed save", "ratio", title=title_of(guest), title_justify="left")
    for name, words in TITLES.items():
        if name not in guest["ours"]:
            continue
        words = f"{words} ({guest['work_mib']} MiB)" if words.endswith("after work") else words
        other, ratio = guest["managed_save"].get(name), guest["ratios"].get(name)
        result.add_row(words, shown(name, guest["ours"][name]), shown(name, other), f"{ratio}" if ratio else "")
    return result


def size_line(compared: Figures) -> str:
    """What the size of a guest costs."""
    smallest, largest = compared["memory_mib"]
    return (
        f"{largest} MiB beside {smallest} MiB: a resume takes {compared['resume_seconds']:.2f} times as long "
        f"(first ones {compared['first_resume_seconds']:.2f}), goal {compared['goal']}; "
        f"reads {compared['read_bytes_before_output']:.2f} times as much."
    )


def suspend_line(guest: Figures) -> str:
    """Whether a suspend wrote what it may."""
    ours = guest["ours"]
    over = ours["suspend_written_bytes"] - ours["allowed_bytes"]
    judged = "met" if over <= 0 else "missed"
    return (
        f"{title_of(guest)}: an idle suspend wrote {shown('bytes', ours['suspend_written_bytes'])}, allowed are "
        f"{shown('bytes', ours['allowed_bytes'])} (1.1 times what changed, and 2 MB): {judged} "
        f"by {shown('bytes', abs(over))}."
    )


def facts(report: Figures) -> list[str]:
    """The lines below the tables."""
    sides = report["throttle"]["read_ahead_kib"].items()
    read_ahead = "read-ahead " + ", ".join(f"{kib} KiB ({side.replace('_', ' ')})" for side, kib in sides)
    guests = [*report["sizes"], *([report["desktop"]] if report["desktop"] else [])]
    compared = report["largest_to_smallest"]
    return [
        *([size_line(compared)] if compared else []),
        *map(suspend_line, guests),
        f"runs: {report['runs']} of each; medians. Every guest's memory was checked after every resume.",
        f"store: {speeds_of(report['throttle'])}, {read_ahead}; cold. "
        "QEMU and its libraries: in the page cache, for both sides.",
        machine_line(report["machine"], report["vmm"]),
    ]
