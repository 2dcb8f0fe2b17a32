"""Takes suspended sessions from each emulated PC to every other one: each is resumed, or refused for the right reason.

What must come of each is decided beforehand from the PCs' profiles. Hours on a small machine; one that is broken off
goes on where it was. docs/pairs.md has the tables.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from builder.pc.emulator import emulator_for
from builder.pc.machine import Window
from builder.pc.profile import known_profiles
from soulpad.base.errors import BadInput, Interrupted, SoulpadError
from soulpad.cli.main import complain
from soulpad.cli.output import emit, people, progress
from tests.pairs import smallpc
from tests.pairs.journey import follow
from tests.pairs.lab import furnish
from tests.pairs.plan import Journey, chosen, journeys, sessions, trips
from tests.pairs.report import Result, markdown, report_of

EXAMPLE = "example: sudo .venv/bin/python -m tests.pairs --jobs 2 --only old-laptop:new-desktop"
FAILED = 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m tests.pairs", description=(__doc__ or "").splitlines()[0], epilog=EXAMPLE
    )
    result.add_argument("--jobs", type=int, default=1, metavar="N", help="PCs that run at a time, a core each (1)")
    result.add_argument("--only", action="append", metavar="FROM:TO", help="these pairs alone; * is every PC")
    result.add_argument("--again", action="store_true", help="also those whose results are there")
    result.add_argument("--keep", action="store_true", help="keep the sticks of trips that went well, too")
    result.add_argument(
        "--small-pc", choices=smallpc.SCENES, help="instead: a session with more memory than the PC it goes on at"
    )
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    journeys: list[Journey]
    jobs: int
    again: bool
    keep: bool


def wanted_of(arguments: argparse.Namespace) -> Wanted:
    """From the command line; raises BadInput."""
    if arguments.jobs < 1:
        raise BadInput("there must be a job", "give --jobs 1 or more")
    pcs = known_profiles()
    every = [trip for session in sessions(pcs) for trip in trips(session, pcs)]
    picked = set(chosen(every, arguments.only)) if arguments.only else set(every)
    planned = journeys([trip for trip in every if trip in picked])
    return Wanted(planned, arguments.jobs, arguments.again, arguments.keep)


def travel(wanted: Wanted) -> list[Result]:
    """The results of all trips. Whatever ends this process ends the others, and with them their PCs."""
    with progress() as bar:
        lab = furnish({journey.session.cpu_class for journey in wanted.journeys}, bar)
        emulator_for(Window.NONE, bar)
    with multiprocessing.Pool(wanted.jobs, end_in_order) as pool:
        followed = pool.imap_unordered(
            partial(follow, lab, again=wanted.again, keep=wanted.keep), wanted.journeys, chunksize=1
        )
        return [result for results in followed for result in results]


def end_in_order() -> None:
    """A worker ends when it is told to by the process that started it, and switches its PC off first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())


def interrupt_once(*_: object) -> None:
    """Ends the run in order; who asks once more while that goes on is not heard."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(argv: Sequence[str]) -> int:
    """Returns 0 when all came as it had to, 1 when something did not, or an error's code (docs/exit-codes.md)."""
    arguments = parser().parse_args(argv)
    try:
        signal.signal(signal.SIGTERM, interrupt_once)
        signal.signal(signal.SIGINT, interrupt_once)
        report, text = at_a_small_pc(arguments.small_pc) if arguments.small_pc else between_pairs(arguments)
    except SoulpadError as error:
        return complain(error)
    except KeyboardInterrupt:
        return complain(Interrupted("interrupted; the emulated PCs are off", "run it again: it goes on from here"))
    emit(report) if arguments.json else print(text)
    for problem in report["problems"]:
        people.print(problem)
    return FAILED if report["problems"] else 0


def between_pairs(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The report for machines, and the tables for people."""
    results = travel(wanted_of(arguments))
    return report_of(results), markdown(known_profiles(), results)


def at_a_small_pc(name: str) -> tuple[dict[str, Any], str]:
    """The report for machines, and a sentence for people."""
    scene = smallpc.SCENES[name]
    with progress() as bar:
        stays = smallpc.play(scene, bar)
    sentence = f"{scene.memory_mib} MiB on {scene.small}: {', '.join(stays[1].answers.values())}"
    return smallpc.report_of(scene, stays), sentence


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
