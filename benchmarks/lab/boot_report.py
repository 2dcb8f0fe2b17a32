"""What the boot benchmark says: ratios, sizes, judgements, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.lab.figures import Figures, medians, shown
from builder.host.image import HostImage
from soulpad.base.units import MIB

# A stick's two host slots and its parcels share the stick: a host that outgrows this is a fault.
HOST_LIMIT_BYTES = 320 * MIB
GOAL = 3.0  # times less than the stock way, of the seconds and of the bytes to the prompt

TITLES = {
    "prompt_seconds": "power on to prompt",
    "prompt_read_bytes": "read by then",
    "session_seconds": "prompt answered to session",
    "session_read_bytes": "read by then",
    "power_off_seconds": "power button to off",
    "power_off_read_bytes": "read by then",
}
GOALS = ("prompt_seconds", "prompt_read_bytes")

MEANING = {
    "prompt_seconds": "ours: the prompt is drawn on the screen; stock: the login prompt on the serial console",
    "session_seconds": "ours: from Enter after the passphrase to a running virtual machine, never run before "
    "(unlocking included); stock: from Enter after the user's name to a paused virtual machine of 512 MiB that "
    "libvirt's daemon started (no encryption, no disk)",
    "power_off_seconds": "ours: the virtual machine is suspended to the stick first; stock: nothing is saved",
    "memory": "stock: at the first login; ours: when the session's program has started, behind the prompt",
}


def ratios(ours: Figures, stock: Figures) -> dict[str, float]:
    """How many times more the stock way needs, figure by figure."""
    return {name: round(stock[name] / ours[name], 2) for name in TITLES if ours[name]}


def goals(found: Mapping[str, float]) -> dict[str, bool]:
    """Whether we need a third of the stock way's."""
    return {name: found[name] >= GOAL for name in GOALS}


def sizes(ours: HostImage, stock: HostImage) -> Figures:
    """Bytes of each part, and whether our host keeps to its limit."""
    result: Figures = {"ours": parts(ours), "stock": parts(stock)}
    host_bytes = result["ours"]["squashfs_bytes"]
    return result | {"host_limit_bytes": HOST_LIMIT_BYTES, "host_within_limit": host_bytes <= HOST_LIMIT_BYTES}


def parts(image: HostImage) -> dict[str, int]:
    """Bytes of the three files of a host."""
    return {
        "squashfs_bytes": bytes_of(image.squashfs),
        "initrd_bytes": bytes_of(image.initrd),
        "kernel_bytes": bytes_of(image.kernel),
    }


def bytes_of(path: Path) -> int:
    """A file's length."""
    return path.stat().st_size


def report_of(lives: Mapping[str, Sequence[Figures]]) -> Figures:
    """The compared part of the report: medians, every run, ratios, goals."""
    ours, stock = medians(lives["ours"]), medians(lives["stock"])
    found = ratios(ours, stock)
    return {
        "ours": ours | {"each": list(lives["ours"])},
        "stock": stock | {"each": list(lives["stock"])},
        "ratios": found,
        "goals": goals(found),
        "meaning": MEANING,
    }


def table(report: Figures) -> Table:
    """The figures for people."""
    result = Table("", "SoulPad", "stock Debian", "ratio", title=report["pc"], title_justify="left")
    for name, words in TITLES.items():
        ours, stock = (shown(name, report[side][name]) for side in ("ours", "stock"))
        result.add_row(words, ours, stock, str(report["ratios"].get(name, "")))
    for name in ("squashfs_bytes", "initrd_bytes", "kernel_bytes"):
        ours, stock = (shown(name, report["sizes"][side][name]) for side in ("ours", "stock"))
        result.add_row(name.removesuffix("_bytes"), ours, stock, "")
    return result


def facts(report: Figures) -> list[str]:
    """The lines below the table."""
    machine, build = report["machine"], report["build_seconds"]
    verdict = "within" if report["sizes"]["host_within_limit"] else "ABOVE"
    return [
        *(f"goal, a third of {TITLES[name]}: {'met' if met else 'NOT met'}" for name, met in report["goals"].items()),
        f"host: {verdict} its limit of {HOST_LIMIT_BYTES // MIB} MiB",
        *(f"{side}: memory at the prompt: {report[side]['prompt_used_mib']} MiB used, "
          f"{report[side]['prompt_available_mib']} MiB available" for side in ("ours", "stock")),
        *(f"{side}: " + ", ".join(f"{name} {seconds:g} s" for name, seconds in steps.items())
          for side, steps in build.items() if isinstance(steps, dict)),
        *(f"{name}: {words}" for name, words in report["meaning"].items()),
        f"runs: {report['runs']} of each; machine: {machine['cores']} cores {machine['cpu']}, "
        f"{machine['memory_mib']} MiB, Linux {machine['kernel']}, load {machine['load']}; emulated in software",
    ]  # fmt: skip
