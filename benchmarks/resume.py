"""Resume and suspend: SoulPad against libvirt's managed save of the same machine, in one run on this machine.

Two parts: guests of several sizes, half of their memory filled; and one as large as a desktop, that browses.
Each guest has a store of its own on a loop device, throttled to the speed of a slow stick while something is measured.
Both sides run QEMU and libvirt of the stick's host. Needs root; leaves no mount, device, process or limit behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks.lab.chamber import Chamber
from benchmarks.lab.figures import Figures, medians
from benchmarks.lab.hostroot import LAB, unpacked_host
from benchmarks.lab.program import require_root, run_benchmark
from benchmarks.lab.resume_report import desktop_entry, facts, size_entry, sizes_compared, table
from benchmarks.lab.resume_request import SIDES, Request
from benchmarks.lab.storedevice import READ_AHEAD_KIB, set_read_ahead, store_device
from benchmarks.lab.thismachine import this_machine
from benchmarks.lab.throttle import SLOW_STICK, Speeds, leave_throttled_group
from builder.debian.toolbox import toolbox
from builder.guest.disk import build_guest
from builder.guest.parcels import ParcelRequest, new_parcel
from builder.host.native import compile_libraries
from builder.places import IMAGES
from soulpad.base.errors import BadInput
from soulpad.base.progress import Progress
from soulpad.base.units import GIB, MIB, parse_bytes

EXAMPLE = "example: sudo .venv/bin/python benchmarks/resume.py --memory 512MiB --json"
INSIDE = "benchmarks.lab.resume_inside"
DEFAULT_MEMORY_MIB = (512, 4096, 8192)
QUICK_SPEEDS = Speeds(read=100_000_000, write=60_000_000)


PartName = Literal["sizes", "desktop"]


@dataclass(frozen=True)
class Guest:
    """``filled_mib`` of its memory has a pattern; it browses ``heap_mib``, of which ``hot_mib`` all the time."""

    memory_mib: int
    filled_mib: int
    heap_mib: int = 0
    hot_mib: int = 0


DESKTOP = Guest(memory_mib=2048, filled_mib=64, heap_mib=1024, hot_mib=40)
QUICK_DESKTOP = Guest(memory_mib=768, filled_mib=32, heap_mib=256, hot_mib=20)


@dataclass(frozen=True)
class Plan:
    """What is measured. ``work_mib``: what the guest rewrites before the suspend that is measured after work."""

    memory_mib: tuple[int, ...]
    desktop: Guest | None
    limits: Speeds
    runs: int
    work_mib: int = 32

    @property
    def guests(self) -> list[Guest]:
        """All of them, the desktop last."""
        filled = [Guest(memory_mib, memory_mib // 2) for memory_mib in self.memory_mib]
        return [*filled, *([self.desktop] if self.desktop else [])]


def plan_of(arguments: argparse.Namespace) -> Plan:
    """From the command line; raises BadInput."""
    sizes = tuple(parse_bytes(text) // MIB for text in arguments.memory or ())
    if any(size < DEFAULT_MEMORY_MIB[0] for size in sizes):
        raise BadInput("the guest needs 512MiB of memory", "give --memory 512MiB or more")
    if arguments.runs < 1:
        raise BadInput("there must be a run", "give --runs 1 or more")
    parts = arguments.part or get_args(PartName)
    default = DEFAULT_MEMORY_MIB[:1] if arguments.quick else DEFAULT_MEMORY_MIB
    desktop = QUICK_DESKTOP if arguments.quick else DESKTOP
    return Plan(
        (sizes or default) if "sizes" in parts else (),
        desktop if "desktop" in parts else None,
        QUICK_SPEEDS if arguments.quick else SLOW_STICK,
        arguments.runs,
    )


def store_bytes(memory_mib: int) -> int:
    """Room for a few checkpoints' RAM, the other side's image and both disks; the file behind it is sparse."""
    return 6 * memory_mib * MIB + 4 * GIB


def measure(plan: Plan, guest: Path | None, progress: Progress) -> Figures:
    """The whole report."""
    machine = this_machine()
    disk = guest or build_guest(IMAGES / "guest-demo.toml", progress)
    with ExitStack() as cleanup:
        cleanup.callback(leave_throttled_group)
        root = unpacked_host(progress)
        scratch = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=LAB)))
        (scratch / "lib").mkdir()
        compile_libraries(scratch / "lib")
        chamber = Chamber(root, scratch / "lib")
        answers = [measure_guest(plan, guest, disk, chamber, scratch, progress) for guest in plan.guests]
    speeds = [answer["speeds"] for sides in answers for answer in sides.values()]
    sizes = [
        size_entry(memory_mib, memory_mib // 2, plan.work_mib, runs_of(sides))
        for memory_mib, sides in zip(plan.memory_mib, answers, strict=False)
    ]
    return {
        "benchmark": "resume",
        "machine": machine,
        "vmm": answers[0]["ours"]["vmm"],
        "runs": plan.runs,
        "throttle": {"limits": plan.limits.to_fields(), "measured": medians(speeds), "read_ahead_kib": READ_AHEAD_KIB},
        "sizes": sizes,
        "largest_to_smallest": sizes_compared(sizes),
        "desktop": plan.desktop and desktop_entry(asdict(plan.desktop), runs_of(answers[-1])),
    }


def measure_guest(
    plan: Plan, guest: Guest, disk: Path, chamber: Chamber, scratch: Path, progress: Progress
) -> dict[str, Any]:
    """What each side answered. Both sides have the same store, one after the other."""
    parcel = new_parcel(ParcelRequest("benchmark", disk), disk, guest.memory_mib)
    sides: dict[str, Any] = {}
    with store_device(scratch, store_bytes(guest.memory_mib), parcel.tree(), toolbox(progress)) as device:
        for side in SIDES:
            progress.step(f"{guest.memory_mib} MiB{', browsing' * bool(guest.heap_mib)}: {side.replace('_', ' ')}")
            set_read_ahead(device, READ_AHEAD_KIB[side])
            request = Request(
                side, device, plan.limits, guest.filled_mib, plan.work_mib, plan.runs, guest.heap_mib, guest.hot_mib
            )
            sides[side] = chamber.call(INSIDE, request.to_fields())
    return sides


def runs_of(sides: dict[str, Any]) -> dict[str, list[Figures]]:
    """Each side's figures, run by run."""
    return {side: answer["runs"] for side, answer in sides.items()}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], epilog=EXAMPLE)
    result.add_argument("--memory", action="append", metavar="SIZE", help="the guest's memory (512MiB, 4GiB, 8GiB)")
    result.add_argument("--part", action="append", choices=get_args(PartName), help="only this part (both)")
    result.add_argument("--runs", type=int, default=1, help="runs of each side at each size (1)")
    result.add_argument("--quick", action="store_true", help="512MiB and a small desktop only, on a faster store")
    result.add_argument("--guest", type=Path, metavar="IMAGE", help="the demo guest's disk, if it is made already")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def show(report: Figures) -> None:
    """For people."""
    console = Console(highlight=False, soft_wrap=True)
    for guest in (*report["sizes"], *([report["desktop"]] if report["desktop"] else [])):
        console.print(table(guest))
    for line in facts(report):
        console.print(line)


def measured(arguments: argparse.Namespace, bar: Progress) -> Figures:
    """What the command line asks for."""
    plan = plan_of(arguments)
    require_root()
    return measure(plan, arguments.guest, bar)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code (docs/exit-codes.md)."""
    return run_benchmark(parser().parse_args(argv), measured, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
