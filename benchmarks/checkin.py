"""Backups: SoulPad against restic, borg and casync, on one series of disks and one of memories, in one run.

The images lie on an XFS on a loop device, each version a reflink of the one before; everybody reads the same files,
from the page cache, and writes to a repository on this machine's disk. Needs root; leaves no mount or device behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks import data
from benchmarks.lab.checkin_ours import require_restored
from benchmarks.lab.checkin_report import facts, goals, series_entry, tables
from benchmarks.lab.checkin_series import lay
from benchmarks.lab.checkin_sides import sides
from benchmarks.lab.differencing import differenced_bytes
from benchmarks.lab.figures import Figures
from benchmarks.lab.program import require_root, run_benchmark
from benchmarks.lab.store import Store
from benchmarks.lab.storedevice import store_device
from benchmarks.lab.thismachine import this_machine
from builder.debian.toolbox import toolbox
from soulpad.base.errors import BadInput
from soulpad.base.progress import Progress
from soulpad.base.run import run
from soulpad.base.units import GIB, MIB

EXAMPLE = "example: sudo .venv/bin/python benchmarks/checkin.py --quick --json"
DISK, MEMORY = "disk-0.img", "ram.img"
DISK_TITLES = ["disk, first version", "disk after a big upgrade", "disk after a light day"]
MEMORY_TITLES = [
    "session after boot",
    "session after work",
    "session after 20 s of idleness",
    "session after other work",
]


def measure(recipe: data.Recipe, runs: int, progress: Progress) -> Figures:
    """The whole report."""
    machine = this_machine()
    series = data.series(recipe, progress)
    disks = [{DISK: name} for name in data.DISKS]
    sessions = [{DISK: disk, MEMORY: memory} for disk, memory in zip(data.MEMORY_DISKS, data.MEMORIES, strict=True)]
    disk_runs = [one_run(series, disks, progress) for _ in range(runs)]
    memory_runs = [one_run(series, sessions, progress) for _ in range(runs)]
    memories = series_entry(MEMORY_TITLES, memory_runs) | {
        "memory_bytes": [int(version["said"]) for version in memory_runs[0]["ours"]],
        "differenced_bytes": differenced_bytes([series / name for name in data.MEMORIES]),
    }
    entry = series_entry(DISK_TITLES, disk_runs)
    return {
        "benchmark": "checkin",
        "machine": machine,
        "runs": runs,
        "recipe": asdict(recipe),
        "peers": peers(progress),
        "disks": entry,
        "memories": memories,
        "goals": goals(entry, memories),
    }


def peers(progress: Progress) -> dict[str, str]:
    """The others and their versions."""
    with tempfile.TemporaryDirectory() as folder:
        return {side.name: side.version for side in sides(Path(folder), progress) if side.version}


def one_run(series: Path, versions: list[dict[str, str]], progress: Progress) -> dict[str, list[Figures]]:
    """What each side took for each version."""
    with ExitStack() as cleanup:
        scratch = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="checkin-", dir=data.DATA)))
        largest = sum((series / name).stat().st_size for name in versions[0].values())
        device = cleanup.enter_context(store_device(scratch, largest * len(versions) + GIB, {}, toolbox(progress)))
        store = Store(device, None, scratch / "store")
        store.mount()
        cleanup.callback(run, ["umount", store.root])
        progress.step("laying the series onto XFS")
        folders = lay(series, versions, store.root)
        store.sync()
        result: dict[str, list[Figures]] = {}
        for side in sides(scratch, progress):
            run(side.begin, env=side.env)
            current, before = store.root / "current", None
            for number, folder in enumerate(folders):
                progress.step(f"{side.name}: version {number + 1} of {len(folders)}")
                folder.rename(current)  # one name for all versions, as in a backup of the same disk
                warm(current)
                os.sync()  # what others left to be written is not waited for
                result.setdefault(side.name, []).append(side.measured(number, current, before, scratch))
                before = current.rename(folder)
        progress.step("restoring the last version, to compare it")
        require_restored(scratch / "ours", scratch / "key", folders[-1], scratch)
        return result


def warm(folder: Path) -> None:
    """Brings the files into the page cache."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            while file.read(8 * MIB):
                pass


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], epilog=EXAMPLE)
    result.add_argument("--quick", action="store_true", help="the small series (make bench-data makes both)")
    result.add_argument("--runs", type=int, default=1, help="runs of each side (1)")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def show(report: Figures) -> None:
    """For people."""
    console = Console(highlight=False, soft_wrap=True)
    for part in (*tables(report), *facts(report)):
        console.print(part)


def measured(arguments: argparse.Namespace, bar: Progress) -> Figures:
    """What the command line asks for."""
    if arguments.runs < 1:
        raise BadInput("there must be a run", "give --runs 1 or more")
    require_root()
    return measure(data.QUICK if arguments.quick else data.FULL, arguments.runs, bar)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code (docs/exit-codes.md)."""
    return run_benchmark(parser().parse_args(argv), measured, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
