"""Cuts the power at many points of a parcel's life and looks at what the next start makes of the stick.

Below a real XFS on a device that forgets what was not flushed. Needs root, a loop device and /dev/fuse; leaves no
mount, device or process behind. docs/testing.md says what is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from builder.debian.toolbox import toolbox
from soulpad.base.errors import BadInput, Interrupted, ProgramFailed, SoulpadError
from soulpad.base.run import start
from soulpad.cli.main import complain
from soulpad.cli.output import emit, progress
from tests.powercut.report import CONTROLS, Report, Request, sentences, table

EXAMPLE = "example: sudo .venv/bin/python -m tests.powercut --cuts 200 --json"
INSIDE = "tests.powercut.inside"
VIOLATED = 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m tests.powercut", description=(__doc__ or "").splitlines()[0], epilog=EXAMPLE
    )
    result.add_argument("--cuts", type=int, default=1000, metavar="N", help="cut at N different points (1000)")
    result.add_argument("--seed", type=int, help="of all that chance decides (another one each time)")
    result.add_argument("--control", choices=CONTROLS, default="", help="break something on purpose, to be caught")
    result.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the device's image where something was lost")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def request_of(arguments: argparse.Namespace) -> Request:
    """From the command line; raises BadInput."""
    if arguments.cuts < 1:
        raise BadInput("there must be a cut", "give --cuts 1 or more")
    if os.geteuid() != 0:
        raise BadInput("the power is cut below a mounted file system, which needs root", "run it with sudo")
    if not Path("/dev/fuse").exists():
        raise BadInput("this machine has no /dev/fuse", "load the kernel's module: modprobe fuse")
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    return Request(arguments.cuts, seed, arguments.control, str(arguments.keep.resolve()) if arguments.keep else "")


def cut_power(request: Request) -> Report:
    """The report. Whatever ends this process ends the other one, and the kernel all that it has made."""
    with tempfile.TemporaryDirectory(prefix="powercut-") as folder:
        end_with_us = ["setpriv", "--pdeathsig", "KILL"]
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
        inside = [sys.executable, "-m", INSIDE, json.dumps(asdict(request)), folder]
        process = start(
            [*end_with_us, *unshare, "--propagation", "private", *inside], stdout=subprocess.PIPE, stderr=None
        )
        try:
            output, _ = process.communicate()
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise ProgramFailed(f"the harness ended with {process.returncode}", "what it said stands above")
    return dict(json.loads(output.splitlines()[-1]))


def show(report: Report) -> None:
    """For people."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(table(report))
    for sentence in sentences(report):
        console.print(sentence)


def main(argv: Sequence[str]) -> int:
    """Returns 0 when nothing was lost or mixed, 1 when something was, or an error's code (docs/exit-codes.md)."""
    arguments = parser().parse_args(argv)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        request = request_of(arguments)
        with progress() as bar:
            toolbox(bar)
        report = cut_power(request)
    except SoulpadError as error:
        return complain(error)
    except KeyboardInterrupt:
        return complain(Interrupted("interrupted; nothing is left of it", "run it again when you like"))
    emit(report) if arguments.json else show(report)
    return VIOLATED if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
