"""Fifty suspends and resumes with scattered writes: what cloning, committing and resuming cost at first and at last.

The guest is played by this program, through the product's own functions. Every variant has a store of its own on a
loop device, throttled to the speed of a slow stick while something is measured; each cycle is lived through on one
after the other. Needs root; leaves no mount, device, process or limit behind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks.lab.cycles_load import Load
from benchmarks.lab.cycles_report import Figures, compared, facts, flat, summary, table
from benchmarks.lab.cycles_request import Request, Side, Variant
from benchmarks.lab.program import require_root, run_benchmark
from benchmarks.lab.storedevice import store_device
from benchmarks.lab.thismachine import this_machine
from benchmarks.lab.throttle import SLOW_STICK, Speeds, leave_throttled_group
from builder.debian.toolbox import Toolbox, toolbox
from builder.guest.parcels import ParcelRequest, new_parcel
from builder.places import CACHE, ROOT
from soulpad.base.errors import BadInput, ProgramFailed
from soulpad.base.progress import Progress
from soulpad.base.run import start
from soulpad.base.units import GIB, MIB
from soulpad.session.smoothing import AIM_EXTENTS
from soulpad.session.volume import READ_AHEAD_KIB

EXAMPLE = "example: sudo .venv/bin/python benchmarks/cycles.py --cycles 20 --variant product --json"
INSIDE = "benchmarks.lab.cycles_inside"
PRODUCT = Variant("product", READ_AHEAD_KIB, smooth_extents=AIM_EXTENTS)
VARIANTS = (
    PRODUCT,
    replace(PRODUCT, name="read-ahead 4 KiB", read_ahead_kib=4),
    replace(PRODUCT, name="read-ahead 64 KiB", read_ahead_kib=64),
    replace(PRODUCT, name="read-ahead 128 KiB", read_ahead_kib=128),
    replace(PRODUCT, name="cowextsize 128 KiB", cow_extent_kib=128),  # what XFS does without a hint
    replace(PRODUCT, name="never smoothed", smooth_extents=0),
    Variant("never smoothed, cowextsize 128 KiB", READ_AHEAD_KIB, cow_extent_kib=128),
)
CHECKPOINT_EVERY = 3
QUICK_EXTENTS = 500  # in place of the product's, which a small guest does not reach
QUICK_LOAD = Load(
    memory_mib=128,
    filled_mib=64,
    disk_mib=192,
    hot_kib=1024,
    fresh_kib=512,
    ordered_kib=512,
    files_kib=2048,
    touches=60,
)


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    variants: tuple[Variant, ...]
    load: Load
    limits: Speeds | None
    cycles: int


def plan_of(arguments: argparse.Namespace) -> Plan:
    """From the command line; raises BadInput."""
    if arguments.cycles < 1:
        raise BadInput("there must be a cycle", "give --cycles 1 or more")
    wanted = {PRODUCT.name, *(arguments.variant or [variant.name for variant in VARIANTS])}
    if unknown := sorted(wanted - {variant.name for variant in VARIANTS}):
        raise BadInput(f"there is no variant {unknown[0]!r}", f"there are: {', '.join(v.name for v in VARIANTS)}")
    variants = tuple(variant for variant in VARIANTS if variant.name in wanted)
    if arguments.quick:
        return Plan(tuple(map(quick, variants)), QUICK_LOAD, None, arguments.cycles)
    return Plan(variants, Load(), SLOW_STICK, arguments.cycles)


def quick(variant: Variant) -> Variant:
    """The variant for a small guest."""
    return replace(variant, smooth_extents=QUICK_EXTENTS) if variant.smooth_extents else variant


def measure(plan: Plan, progress: Progress) -> Figures:
    """The whole report."""
    machine, tools = this_machine(), toolbox(progress)
    with ExitStack() as cleanup:
        cleanup.callback(leave_throttled_group)
        CACHE.mkdir(exist_ok=True)
        scratch = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cycles-", dir=CACHE)))
        sides = tuple(
            cleanup.enter_context(new_side(variant, scratch / str(index), plan.load, tools))
            for index, variant in enumerate(plan.variants)
        )
        lived = live_through(Request(sides, plan.load, plan.limits, plan.cycles, CHECKPOINT_EVERY), progress)
    variants = {
        variant.name: asdict(variant) | summary([entry for entry in lived if entry["variant"] == variant.name])
        for variant in plan.variants
    }
    return {
        "benchmark": "cycles",
        "machine": machine,
        "runs": 1,
        "cycles": plan.cycles,
        "load": plan.load.to_fields(),
        "limits": plan.limits and plan.limits.to_fields(),
        "product": PRODUCT.name,
        "variants": variants,
        "ratios_to_product": compared(variants, PRODUCT.name),
        "flat": flat(variants[PRODUCT.name]),
    }


@contextmanager
def new_side(variant: Variant, folder: Path, load: Load, tools: Toolbox) -> Iterator[Side]:
    """A device with a store, made as a stick's is, with one parcel that was never run."""
    root = folder / "root"
    root.mkdir(parents=True)
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(load.disk_mib * MIB)
    parcel = new_parcel(ParcelRequest("benchmark", disk), disk, load.memory_mib)
    size_bytes = 2 * GIB + 6 * (load.memory_mib + load.disk_mib) * MIB
    with store_device(folder, size_bytes, parcel.tree(), tools) as device:
        yield Side(variant, device, root)


def live_through(request: Request, progress: Progress) -> list[Figures]:
    """Every cycle's figures, from a process with mounts of its own that ends with this call. Raises ProgramFailed."""
    process = start(inside_argv(request), stdout=subprocess.PIPE, stderr=None, env={"PYTHONPATH": str(ROOT)})
    lived: list[Figures] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lived.append(json.loads(line))
            progress.step(f"cycle {lived[-1]['cycle'] + 1} of {request.cycles}: {lived[-1]['variant']}")
    finally:
        process.kill()
        code = process.wait()
    if len(lived) != request.cycles * len(request.sides):
        raise ProgramFailed(f"the cycles ended early with {code}", "what they said stands above")
    return lived


def inside_argv(request: Request) -> list[str]:
    """The kill-child option makes the kernel end all that runs in there as soon as ``unshare`` is gone."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    return [*unshare, sys.executable, "-m", INSIDE, json.dumps(request.to_fields())]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], epilog=EXAMPLE)
    result.add_argument("--cycles", type=int, default=50, help="sessions of each variant (50)")
    result.add_argument("--variant", action="append", metavar="NAME", help="this one beside the product's (all)")
    result.add_argument("--quick", action="store_true", help="a small guest on a store that is not throttled")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def show(report: Figures) -> None:
    """For people."""
    console = Console(highlight=False, soft_wrap=True)
    for name, entry in report["variants"].items():
        console.print(table(name, entry))
    for line in facts(report):
        console.print(line)


def measured(arguments: argparse.Namespace, bar: Progress) -> Figures:
    """What the command line asks for."""
    plan = plan_of(arguments)
    require_root()
    return measure(plan, bar)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code (docs/exit-codes.md)."""
    return run_benchmark(parser().parse_args(argv), measured, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
