"""Work after a resume: SoulPad's machine against one with ordinary memory, side by side on this machine; and the bytes
that an idle and a busy guest write to the stick.

Each side has a store of its own on a loop device, throttled to the speed of a slow stick. All work at the same
time, and run QEMU and libvirt of the stick's host. Needs root; leaves no mount, device, process or limit behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks.lab.chamber import Chamber
from benchmarks.lab.figures import Figures, medians
from benchmarks.lab.hostroot import LAB, unpacked_host
from benchmarks.lab.meeting import together
from benchmarks.lab.program import require_root, run_benchmark
from benchmarks.lab.runtime_report import bytes_report, bytes_table, facts, speed_report, speed_table
from benchmarks.lab.runtime_request import SIDES, Load, Part, Request
from benchmarks.lab.storedevice import USB_DISK_READ_AHEAD_KIB, set_read_ahead, store_device
from benchmarks.lab.thismachine import this_machine
from benchmarks.lab.throttle import SLOW_STICK, Speeds, leave_throttled_group
from benchmarks.lab.usbqueue import usb_queue
from builder.debian.toolbox import toolbox
from builder.guest.disk import build_guest
from builder.guest.parcels import ParcelRequest, new_parcel
from builder.host.native import compile_libraries
from builder.places import IMAGES
from soulpad.base.errors import BadInput, ProgramFailed
from soulpad.base.progress import Progress
from soulpad.base.units import GIB, MIB, parse_bytes
from soulpad.session import writeback
from soulpad.session.volume import READ_AHEAD_KIB

EXAMPLE = "example: sudo .venv/bin/python benchmarks/runtime.py --quick --json"
INSIDE = "benchmarks.lab.runtime_inside"
MEMORY_MIB = 512
PATTERN_MIB = 64
MOST_SET_MIB = 256
SHARE_PERCENT = 5  # of what may wait on this machine: what else is written on it makes no store write earlier
STORE_BYTES = 8 * GIB  # room for a few checkpoints; the file behind it is sparse


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    load: Load
    runs: int = 1
    limits: Speeds = SLOW_STICK
    parts: tuple[Part, ...] = get_args(Part)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """From the command line; raises BadInput."""
    if arguments.runs < 1:
        raise BadInput("there must be a run", "give --runs 1 or more")
    quick = Load(work_seconds=80, idle_minutes=1, busy_minutes=1, checkpoint_seconds=20)
    load = quick if arguments.quick else Load()
    minutes = {"idle_minutes": arguments.idle_minutes, "busy_minutes": arguments.busy_minutes}
    for name, value in minutes.items():
        if value is not None and not 0 < value <= 1440:
            raise BadInput(f"{value:g} minutes cannot be measured", f"give --{name.replace('_', '-')} 1 or more")
    set_mib = parse_bytes(arguments.memory_set) // MIB
    if not 1 <= set_mib <= MOST_SET_MIB:
        raise BadInput(
            f"a guest of {MEMORY_MIB} MiB cannot go round {arguments.memory_set}", f"give 1MiB to {MOST_SET_MIB}MiB"
        )
    chosen = {"memory_set_mib": set_mib} | {name: value for name, value in minutes.items() if value}
    return Plan(Load(**asdict(load) | chosen), arguments.runs, parts=tuple(arguments.part or get_args(Part)))


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
        parts = [part for part in plan.parts for _ in range(plan.runs if part == "speed" else 1)]
        measured = [(part, measured_with_a_retry(part, plan, disk, chamber, scratch, progress)) for part in parts]
    speed = [answers for part, answers in measured if part == "speed"]
    traffic = next((answers for part, answers in measured if part == "bytes"), None)
    return report_of(plan, machine, speed, traffic)


def measured_with_a_retry(
    part: Part, plan: Plan, disk: Path, chamber: Chamber, scratch: Path, progress: Progress
) -> dict[str, Any]:
    """As ``measure_part``; begun anew once, for the emulator stops a guest once in a long while
    (docs/decisions/0005-emulator.md)."""
    try:
        return measure_part(part, plan, disk, chamber, scratch, progress)
    except ProgramFailed as error:
        progress.step(f"{part} begins anew: {error.message}")
        return measure_part(part, plan, disk, chamber, scratch, progress)


def measure_part(
    part: Part, plan: Plan, disk: Path, chamber: Chamber, scratch: Path, progress: Progress
) -> dict[str, Any]:
    """What each side answered. All have a store of their own, and work at the same time."""
    tools = toolbox(progress)
    with ExitStack() as cleanup:
        requests: dict[str, dict[str, Any]] = {}
        held: list[Path] = []
        for side in SIDES[part]:
            parcel = new_parcel(ParcelRequest("benchmark", disk), disk, MEMORY_MIB)
            folder = scratch / f"{part}-{side}"
            folder.mkdir(exist_ok=True)
            throttled = cleanup.enter_context(store_device(folder, STORE_BYTES, parcel.tree(), tools))
            device = cleanup.enter_context(usb_queue(throttled))
            set_read_ahead(device, USB_DISK_READ_AHEAD_KIB if side == "plain" else READ_AHEAD_KIB)
            held += [] if side == "plain" else [device]
            requests[side] = Request(part, side, device, throttled, plan.limits, PATTERN_MIB, plan.load).to_fields()
        cleanup.enter_context(writeback.held_back(*held, share_percent=SHARE_PERCENT))
        progress.step(f"{part}: starting {len(requests)} guests")
        return dict(together(chamber, INSIDE, requests, progress))


def report_of(plan: Plan, machine: Figures, speed: Sequence[dict[str, Any]], traffic: dict[str, Any] | None) -> Figures:
    """The JSON; null for a part that was left out."""
    answers = [answer for part in (*speed, traffic or {}) for answer in part.values()]
    turns = [{side: answer["turns"] for side, answer in run.items()} for run in speed]
    return {
        "benchmark": "runtime",
        "machine": machine,
        "vmm": answers[0]["vmm"],
        "runs": plan.runs,
        "memory_mib": MEMORY_MIB,
        "load": asdict(plan.load),
        "throttle": {"limits": plan.limits.to_fields(), "measured": medians([answer["speeds"] for answer in answers])},
        "waiting_bytes": writeback.bound_bytes(writeback.SLOW_BYTES_PER_SECOND),
        "speed": speed_report(turns, plan.load.work_seconds) if turns else None,
        "bytes": bytes_report(traffic) if traffic else None,
        "turns": turns,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], epilog=EXAMPLE)
    result.add_argument("--runs", type=int, default=1, help="runs of the work (1)")
    result.add_argument(
        "--idle-minutes", type=float, metavar="N", help="how long bytes of idle guests are counted (10)"
    )
    result.add_argument("--busy-minutes", type=float, metavar="N", help="how long those of busy ones are (10)")
    result.add_argument(
        "--memory-set", default="128MiB", metavar="SIZE", help="memory that the guest goes round (128MiB)"
    )
    result.add_argument("--part", action="append", choices=get_args(Part), help="only this part (both)")
    result.add_argument("--quick", action="store_true", help="a minute of each, and a checkpoint every 20 seconds")
    result.add_argument("--guest", type=Path, metavar="IMAGE", help="the demo guest's disk, if it is made already")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def show(report: Figures) -> None:
    """For people."""
    console = Console(highlight=False, soft_wrap=True)
    if report["speed"]:
        console.print(speed_table(report))
    if report["bytes"]:
        console.print(bytes_table(report))
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
