"""Check-out of a suspended session over slow links, with nothing, a stale stick, the right stick, or a jukebox at hand.

The far computer is a network namespace whose link to the repository has ISR's four speeds; the jukebox is on its local
network. The bytes of memory are as many as ISR's compressed image had (41 MB; Seamless mobility, sections 6.7 and 7.3,
tables 6 and 10). ISR's seconds contain the launch of the virtual machine as well (some 10 s: table 5); ours are the
check-out alone, proved and written. Needs root; leaves no namespace or file behind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from blake3 import blake3
from rich.console import Console
from rich.table import Table

from benchmarks.lab.figures import Figures
from benchmarks.lab.lookaside_state import IMAGE, State, make_state
from benchmarks.lab.program import require_root, run_benchmark
from benchmarks.lab.slowlink import LINKS, FarComputer, Link, far_computer
from benchmarks.lab.thismachine import this_machine
from lookaside.domain import Domain
from lookaside.jukebox.catalogue import Catalogue
from lookaside.jukebox.server import JukeboxServer
from soulpad.base.errors import BadInput, VerifyFailed
from soulpad.base.progress import Progress
from soulpad.base.run import run
from soulpad.base.units import format_bytes, parse_bytes

EXAMPLE = "example: sudo .venv/bin/python benchmarks/lookaside.py --state 2MiB --links 100,10,1 --json"
INSIDE = Path(__file__).parent / "lab" / "lookaside_inside.py"
ISR_BYTES = 41_000_000
RIGHT = "right stick"
SITUATIONS = ("nothing", "stale stick", RIGHT, "jukebox")
FLAT_GOAL = 1.1  # from the fastest link to the slowest

# seconds of ISR's tables 6 (pure demand-fetch) and 10 (a USB disk with the memory image at hand), by Mb/s
ISR_SECONDS = {
    "nothing": {100.0: 14, 10.0: 39, 1.0: 317, 0.1: 4301},
    RIGHT: {100.0: 13, 10.0: 12, 1.0: 12, 0.1: 12},
}


@dataclass(frozen=True)
class Plan:
    """``state_bytes``: of the session's memory, compressed; ``situations``: what is at hand."""

    state_bytes: int
    links: tuple[Link, ...]
    situations: tuple[str, ...] = SITUATIONS
    short_runs: int = 15  # of the right stick, at each link

    @property
    def cells(self) -> list[tuple[Link, str]]:
        """Of the report, in its order."""
        return [(link, situation) for link in self.links for situation in self.situations]


def measure(plan: Plan, bar: Progress) -> Figures:
    """All situations at all links."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soulpad-lookaside-")))
        domain = Domain.new()
        bar.step("making two versions")
        state = make_state(folder, domain, plan.state_bytes)
        repository = stack.enter_context(served(state.repository.root))
        jukebox = stack.enter_context(served(state.repository.root))
        computer = stack.enter_context(far_computer())
        ports = repository.server_port, jukebox.server_port
        runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)
        delays = True
        for situation, link in rounds(plan):
            delays &= computer.set_link(link)
            bar.step(f"{link.name}, {situation}")
            request = request_for(situation, computer, state, *ports)
            request |= {"key": domain.key.reveal().hex(), "target": str(folder / "target")}
            runs[link.name, situation].append(checked_out(computer, request, state))
        cells = [cell_of(link.name, situation, runs[link.name, situation]) for link, situation in plan.cells]
        return report_of(plan, cells, delays)


def rounds(plan: Plan) -> Iterator[tuple[str, Link]]:
    """What is measured one after the other. The right stick takes no longer than what else this machine does: the links
    take turns, many times, and the median counts."""
    for _ in range(plan.short_runs if RIGHT in plan.situations else 0):
        for link in plan.links:
            yield RIGHT, link
    for link, situation in plan.cells:
        if situation != RIGHT:
            yield situation, link


def cell_of(link: str, situation: str, runs: Sequence[Figures]) -> Figures:
    """The run that took the median of the seconds, and what all took."""
    by_seconds = sorted(runs, key=lambda figures: float(figures["seconds"]))
    seconds = [round(figures["seconds"], 3) for figures in by_seconds]
    return {"link": link, "situation": situation, **by_seconds[len(by_seconds) // 2], "seconds_of_all": seconds}


def request_for(
    situation: str, computer: FarComputer, state: State, repository_port: int, jukebox_port: int
) -> dict[str, Any]:
    """What the far computer is to do; see lookaside_inside."""
    older, newer = state.names
    sticks = {"stale stick": [str(state.older), older], RIGHT: [str(state.newer), newer]}
    return {
        "server": [computer.slow_address, repository_port],
        "jukebox": [computer.local_address, jukebox_port] if situation == "jukebox" else None,
        "stick": sticks.get(situation),
        "version": newer,
    }


def checked_out(computer: FarComputer, request: dict[str, Any], state: State) -> Figures:
    """One check-out's figures. Raises VerifyFailed where the result is another than it should be."""
    argv = ["ip", "netns", "exec", computer.namespace, sys.executable, str(INSIDE)]
    figures: Figures = json.loads(run(argv, stdin=json.dumps(request).encode()).stdout)
    if figures.pop("digest") != blake3((state.newer / IMAGE).read_bytes()).hexdigest():
        raise VerifyFailed("a check-out made another image than it should", "this is a bug: please report it")
    return figures


@contextmanager
def served(root: Path) -> Iterator[JukeboxServer]:
    """A server over a repository."""
    with JukeboxServer(Catalogue([root], manifests=True), "lab", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def report_of(plan: Plan, cells: list[Figures], delays: bool) -> Figures:
    """The JSON. ``delays``: whether the links had them. The ratio to ISR is given where the bytes are as many."""
    for cell in cells:
        isr = ISR_SECONDS.get(cell["situation"], {}).get(float(cell["link"].split()[0]))
        cell["isr_seconds"] = isr
        same = abs(plan.state_bytes - ISR_BYTES) < ISR_BYTES / 10
        cell["ratio"] = round(isr / cell["seconds"], 2) if isr and same else None
    return {
        "benchmark": "lookaside",
        "machine": this_machine(),
        "runs": {RIGHT: plan.short_runs, "else": 1},
        "state_bytes": plan.state_bytes,
        "isr_state_bytes": ISR_BYTES,
        "delays": delays,
        "cells": cells,
        "right_stick_spread": spread_of(cells),
        "right_stick_spread_goal": FLAT_GOAL,
    }


def spread_of(cells: Sequence[Figures]) -> float | None:
    """How many times as long the right stick takes at the link at which it takes longest; None: it was not measured."""
    seconds = [cell["seconds"] for cell in cells if cell["situation"] == RIGHT]
    return round(max(seconds) / min(seconds), 3) if seconds else None


def show(report: Figures) -> None:
    """For people."""
    columns = ("link", "at hand", "seconds", "ISR (41 MB)", "over the slow link", "from whom")
    table = Table(*columns, box=None, pad_edge=False)
    for cell in report["cells"]:
        whom = ", ".join(f"{one['name']} {format_bytes(one['bytes'])}" for one in cell["sources"])
        isr = f"{cell['isr_seconds']} s" if cell["isr_seconds"] else ""
        slow = format_bytes(cell["slow_link_bytes"])
        table.add_row(cell["link"], cell["situation"], f"{cell['seconds']:.2f}", isr, slow, whom)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    size = format_bytes(report["state_bytes"])
    console.print(f"{size} of compressed memory, a quarter of it new since the stale stick")
    if spread := report["right_stick_spread"]:
        console.print(f"the right stick: {spread:.2f} times from the best link to the worst (goal {FLAT_GOAL})")
    console.print("ISR's seconds contain the launch of the virtual machine; ours are the check-out alone.")
    if not report["delays"]:
        console.print("This kernel has no netem: the links at 1 and 0.1 Mb/s have no delay, ISR's had 10 and 100 ms.")


def plan_of(arguments: argparse.Namespace) -> Plan:
    """What the command line asks for. Raises BadInput."""
    wanted = arguments.links.split(",")
    links = tuple(link for link in LINKS if link.name.split()[0] in wanted)
    if len(links) != len(wanted):
        names = ", ".join(link.name.split()[0] for link in LINKS)
        raise BadInput(f"{arguments.links!r} names a link that there is not", f"there are {names}")
    if arguments.runs < 1:
        raise BadInput(f"{arguments.runs} runs measure nothing", "say how many: --runs 15")
    situations = tuple(arguments.at_hand or SITUATIONS)
    return Plan(parse_bytes(arguments.state), links, situations, arguments.runs)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], epilog=EXAMPLE)
    result.add_argument("--state", default="41MB", metavar="SIZE", help="compressed memory to check out (41MB)")
    result.add_argument("--links", default="100,10,1,0.1", metavar="MBITS", help="which links (100,10,1,0.1)")
    result.add_argument("--at-hand", action="append", choices=SITUATIONS, help="only this; several times")
    result.add_argument("--runs", type=int, default=15, help="runs of the right stick at each link (15)")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def measured(arguments: argparse.Namespace, bar: Progress) -> Figures:
    """What the command line asks for."""
    plan = plan_of(arguments)
    require_root()
    return measure(plan, bar)


def main(argv: list[str]) -> int:
    """Returns the exit code (docs/exit-codes.md)."""
    return run_benchmark(parser().parse_args(argv), measured, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
