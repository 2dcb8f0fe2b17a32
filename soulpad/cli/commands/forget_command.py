"""``soulpad forget``: deletes versions of a parcel from a repository."""

from __future__ import annotations

import argparse
from pathlib import Path

from lookaside.marks import pinned
from lookaside.repository import Repository, repository_trouble
from lookaside.retention import Kept, to_forget
from soulpad.base.errors import BadInput, UsageError
from soulpad.cli.keys import OF, add_key_arguments, domain_of
from soulpad.cli.output import emit, people
from soulpad.store.versionfacts import all_facts, parcel_named

EPILOG = """example: soulpad forget /mnt/backup --parcel work --keep-last 3 --keep-daily 7
         soulpad forget /mnt/backup --parcel work --version 4

Versions that are not kept are deleted, at once and for good; the newest one is always kept. What they alone needed goes
with the next soulpad collect. A version whose date is not known is only deleted by its number.

exit codes: 0 done, 2 it was not said what is kept, 10 no such parcel or version, or the newest, 12 the secret opens no
            key slot, 75 not a repository, 91 the folder cannot be written"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="REPO", type=Path, help="the folder of a repository")
    parser.add_argument("--parcel", metavar="NAME|UUID", required=True, help="whose versions")
    parser.add_argument("--keep-last", metavar="N", type=int, default=0, help="keep the newest N")
    parser.add_argument("--keep-daily", metavar="N", type=int, default=0, help="keep the last one of each of N days")
    parser.add_argument("--version", metavar="N", type=int, action="append", help="delete this one; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    add_key_arguments(parser, OF)


def run(arguments: argparse.Namespace) -> int:
    kept = policy_of(arguments)
    root = arguments.repository
    with repository_trouble(root):
        repository = Repository.open(root, domain_of(root, arguments))
        parcel = parcel_named(repository, arguments.parcel)
        numbers = named(repository, parcel, arguments.version) if kept is None else by_policy(repository, parcel, kept)
        if not arguments.dry_run:
            forget(repository, parcel, numbers)
    if arguments.json:
        emit({"parcel": parcel, "forgotten": numbers, "dry_run": arguments.dry_run})
    else:
        show(root, numbers, arguments.dry_run)
    return 0


def policy_of(arguments: argparse.Namespace) -> Kept | None:
    """What is kept; None where versions are named. Raises UsageError."""
    kept = Kept(arguments.keep_last, arguments.keep_daily)
    if min(kept.last, kept.daily) < 0 or (kept == Kept()) == (arguments.version is None):
        raise UsageError(
            "Say either what is kept (--keep-last, --keep-daily) or which versions go (--version).",
            "soulpad forget --help has examples",
        )
    return None if arguments.version else kept


def named(repository: Repository, parcel: str, numbers: list[int]) -> list[int]:
    """The numbers that were named, oldest first. Raises BadInput for one that there is not."""
    for number in set(numbers) - repository.versions(parcel).keys():
        raise BadInput(f"There is no version {number}.", f"list them: soulpad versions {repository.root}")
    return sorted(set(numbers))


def by_policy(repository: Repository, parcel: str, kept: Kept) -> list[int]:
    """The numbers that go, oldest first."""
    return to_forget([version.dated for version in all_facts(repository, parcel)], kept)


def forget(repository: Repository, parcel: str, numbers: list[int]) -> None:
    """Deletes one after the other: a cut leaves some of them for the next run, and what others delete meanwhile is
    gone as well. Raises BadInput, OSError."""
    with pinned(repository.root) as pin:
        for number in numbers:
            repository.forget(parcel, number, pin)


def show(root: Path, numbers: list[int], dry_run: bool) -> None:
    word = "would be forgotten" if dry_run else "forgotten"
    people.print(f"{word}: {', '.join(map(str, numbers)) or 'none'}")
    if numbers and not dry_run:
        people.print(f"what they took is freed by: soulpad collect {root}", markup=False)
