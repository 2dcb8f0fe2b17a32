"""``soulpad versions``: what a repository holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from lookaside.domain import Domain
from lookaside.errors import RepositoryDamaged
from lookaside.keyring import unlock
from lookaside.repository import Repository, domain_id_of, repository_trouble
from soulpad.base.units import format_bytes
from soulpad.cli.keys import OF, add_key_arguments, given_key
from soulpad.cli.output import emit, people
from soulpad.store.versionfacts import VersionFacts, all_facts

EPILOG = """example: soulpad versions /mnt/backup --ask-passphrase

Without the key it says which parcels there are, by their UUIDs, and the numbers of their versions; with it also names,
dates and sizes, which are encrypted.

exit codes: 0 shown, 12 the secret opens no key slot, 75 not a repository, 90 some versions are damaged (the rest is
            shown)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repository", metavar="REPO", type=Path, help="the folder of a repository")
    add_key_arguments(parser, OF)


def run(arguments: argparse.Namespace) -> int:
    with repository_trouble(arguments.repository):
        domain_id_of(arguments.repository)
        key = given_key(arguments, OF)
        found = versions_in(arguments.repository, unlock(arguments.repository, key) if key else None)
    if arguments.json:
        emit({"parcels": [as_fields(parcel, versions) for parcel, versions in found.items()]})
    else:
        show(found, bool(key))
    damaged = any(version.problem for versions in found.values() for version in versions)
    return RepositoryDamaged.exit_code if damaged else 0


def versions_in(root: Path, domain: Domain | None) -> dict[str, list[VersionFacts]]:
    """All versions by parcel; without the keys their numbers alone."""
    # without its key a repository is opened with one of its own, which is never used
    repository = Repository.open(root, domain) if domain else Repository(root, Domain.new())
    if domain:
        return {parcel: all_facts(repository, parcel) for parcel in repository.parcels()}
    return {parcel: [VersionFacts(number) for number in repository.versions(parcel)] for parcel in repository.parcels()}


def as_fields(parcel: str, versions: list[VersionFacts]) -> dict[str, Any]:
    """A parcel's versions for ``--json``."""
    return {"uuid": parcel, "versions": [asdict(version) for version in versions]}


def show(found: dict[str, list[VersionFacts]], named: bool) -> None:
    """The versions for people."""
    for parcel, versions in found.items():
        name = next((version.parcel_name for version in reversed(versions) if version.parcel_name), "")
        people.print(f"[bold]Parcel {escape(name)}[/bold]  {parcel}")
        table = Table("version", "taken", "kind", "size", box=None, pad_edge=False)
        for version in versions:
            table.add_row(str(version.number), *(in_words(version) if named else ()))
        people.print(table)
    if not found:
        people.print("no version of any parcel")
    elif not named:
        people.print("names and dates are encrypted: see them with --ask-passphrase")


def in_words(version: VersionFacts) -> tuple[str, str, str]:
    """When it was taken, its kind and its size; of a damaged one what is wrong."""
    if version.problem:
        return "", escape(f"damaged: {version.problem}"), ""
    taken = "" if version.taken_at is None else datetime.fromtimestamp(version.taken_at).isoformat(" ", "minutes")
    return taken, version.kind or "", format_bytes(version.image_bytes)
