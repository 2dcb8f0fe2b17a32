"""Power on to prompt, session and power off: SoulPad's stick against the stock way of the same Debian packages.

Both sticks are made and then started in the same emulated PC, one after the other. The stock way is Debian's own
initramfs, multi-user target, libvirt's daemon and a login prompt. Needs root; leaves no mount and no process behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks.lab.boot_report import facts, report_of, sizes, table
from benchmarks.lab.boot_run import live, our_way, stock_way
from benchmarks.lab.figures import Figures
from benchmarks.lab.hostroot import LAB
from benchmarks.lab.program import run_benchmark
from benchmarks.lab.stockhost import assemble, stock_host, timed
from benchmarks.lab.thismachine import this_machine
from builder.debian.dib import build_root
from builder.host.image import build_host, lay_overlay, make_squashfs, unpack_parts
from builder.host.recipe import read_host_recipe
from builder.pc.profile import find_profile
from builder.places import IMAGES
from demo.walk import PASSPHRASE, make_stick
from soulpad.base.errors import BadInput
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret

EXAMPLE = "example: sudo .venv/bin/python benchmarks/boot.py --json"
RECIPE = IMAGES / "host.toml"
PC = "old-desktop"


def measure(runs: int, squashfs_too: bool, bar: Progress) -> Figures:
    """The whole report."""
    machine = this_machine()
    host, stock = build_host(RECIPE, bar), stock_host(RECIPE, bar)
    profile = find_profile(PC)
    LAB.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="boot-", dir=LAB) as folder:
        scratch = Path(folder)
        build = {"ours": squashfs_seconds(scratch, bar) if squashfs_too else {}, "stock": dict(stock.build_seconds)}
        ways = {way.name: way for way in (our_way(Secret(PASSPHRASE.encode())), stock_way())}
        sticks = {name: scratch / f"{name}.img" for name in ways}
        with timed(build["ours"], "assembly"):
            make_stick(sticks["ours"], bar)
        with timed(build["stock"], "assembly"):
            assemble(stock.image, sticks["stock"], bar)
        lives: dict[str, list[Figures]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, way in ways.items():
                lives[name].append(live(way, profile, sticks[name], scratch, bar))
    return {
        "benchmark": "boot",
        "machine": machine,
        "pc": PC,
        "runs": runs,
        **report_of(lives),
        "sizes": sizes(host, stock.image),
        "build_seconds": build | {"stock_made_earlier": stock.cached},
    }


def squashfs_seconds(scratch: Path, bar: Progress) -> dict[str, float]:
    """How long our host's squashfs takes to make, by making it once more."""
    recipe = read_host_recipe(RECIPE)
    archive = build_root(recipe.name, recipe.all_elements, {}, bar)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        work = Path(folder)
        unpack_parts(archive, work / "root", bar)
        overlay = lay_overlay(work / "overlay", work / "root")
        with timed(seconds, "squashfs"):
            make_squashfs(archive, overlay, work / "host.squashfs", recipe.compression_level, bar)
    return seconds


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], epilog=EXAMPLE)
    result.add_argument("--runs", type=int, default=1, help="runs of each stick (1)")
    result.add_argument("--no-squashfs", action="store_true", help="do not time the making of our host's squashfs")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def check(arguments: argparse.Namespace) -> None:
    """Raises BadInput for what cannot be measured."""
    if arguments.runs < 1:
        raise BadInput("there must be a run", "give --runs 1 or more")
    if os.geteuid() != 0:
        raise BadInput("this benchmark unpacks a root and installs packages in it, which needs root", "use sudo")


def show(report: Figures) -> None:
    """For people."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(table(report))
    for line in facts(report):
        console.print(line)


def measured(arguments: argparse.Namespace, bar: Progress) -> Figures:
    """What the command line asks for."""
    check(arguments)
    return measure(arguments.runs, not arguments.no_squashfs, bar)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code (docs/exit-codes.md)."""
    return run_benchmark(parser().parse_args(argv), measured, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
