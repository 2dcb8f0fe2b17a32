"""``soulpad collect``: frees what no version in a repository needs any more."""

from __future__ import annotations

import argparse
from pathlib import Path

from lookaside.collecting import Collected, collect
from lookaside.repository import Repository, repository_trouble
from soulpad.base.units import format_bytes
from soulpad.cli.keys import OF, add_key_arguments, domain_of
from soulpad.cli.output import emit, people, progress
from soulpad.cli.shares import percent

EPILOG = """example: soulpad collect /mnt/backup --passphrase-file secret.txt

Others may back up to the repository and restore from it meanwhile. What they may rely on stays until they are done and
goes with a later run. A backup that was killed on another machine, or before a restart, still holds its pin:
--break-pin takes it away. If that backup is running after all, it is refused in the end and has to be run again; if it
commits in the very moment, its version may lack data, and soulpad verify says so.

exit codes: 0 done, 10 no such pin, 12 the secret opens no key slot, 40 the disk is full, 73 a version cannot be read,
            so nothing was deleted, 75 not a repository, 91 the folder cannot be written, 94 another one collects"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="REPO", type=Path, help="the folder of a repository")
    parser.add_argument(
        "--rewrite-below",
        metavar="PERCENT",
        type=percent,
        default=0.5,
        help="copy what lives out of packs of which less than this is needed (default: 50%%)",
    )
    parser.add_argument("--break-pin", metavar="ID", action="append", default=[], help="take a dead run's pin away")
    add_key_arguments(parser, OF)


def run(arguments: argparse.Namespace) -> int:
    root = arguments.repository
    with repository_trouble(root), progress() as shown:
        repository = Repository.open(root, domain_of(root, arguments))
        result = collect(repository, rewrite_below=arguments.rewrite_below, broken=arguments.break_pin, progress=shown)
    if arguments.json:
        emit(as_fields(result))
    else:
        show(result)
    return 0


def as_fields(result: Collected) -> dict[str, object]:
    """The result for ``--json``."""
    return {
        "deleted_packs": result.deleted_packs,
        "deleted_manifests": result.deleted_manifests,
        "freed_bytes": result.freed_bytes,
        "rewritten_bytes": result.rewritten_bytes,
        "waiting_bytes": result.waiting_bytes,
        "awaited": [pin.pin_id for pin in result.awaited],
        "taken_away": [pin.pin_id for pin in result.taken_away],
        "unreadable": result.unreadable,
    }


def show(result: Collected) -> None:
    """The result for people."""
    lines = [
        f"freed {format_bytes(result.freed_bytes)} in {result.deleted_packs} pack(s), after"
        f" {format_bytes(result.rewritten_bytes)} were copied; {result.deleted_manifests} manifest(s) deleted"
    ]
    if result.awaited:
        lines.append(f"{format_bytes(result.waiting_bytes)} wait until these are done, for a later run:")
        lines += [f"  {pin}" for pin in result.awaited]
    lines += [f"taken away: the pin {pin}" for pin in result.taken_away]
    if result.unreadable:
        lines.append(f"{len(result.unreadable)} file(s) are damaged and stay as they are: soulpad verify tells more")
    for line in lines:
        people.print(line, markup=False)
