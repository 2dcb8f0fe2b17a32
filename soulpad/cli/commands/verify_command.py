"""``soulpad verify``: whether a repository, a stick or an image is whole."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from lookaside.errors import RepositoryDamaged
from lookaside.keyring import unlock
from lookaside.repository import domain_id_of, repository_trouble
from lookaside.verifying import Verified, verify
from soulpad.base.errors import StoreDamaged
from soulpad.base.units import format_bytes
from soulpad.cli.keys import add_key_arguments, given_key
from soulpad.cli.losses import incomplete_in_words
from soulpad.cli.output import emit, people, progress
from soulpad.cli.shares import above_zero

EPILOG = """example: soulpad verify /mnt/backup --share 5%
         soulpad verify stick.img --ask-passphrase

A repository without its key: all packs and manifests have the bytes that they should have. With it also: every
version can be put together, and every chunk has the content that it should have. A stick: every checkpoint's files are
there with the sizes that they should have, its device state is what was saved, and the device gives their bytes; of
disks and memory no digest is kept. With --share, that much is read, drawn at random. Nothing is ever written.

exit codes: 0 whole, 12 the secret opens nothing, 30 not a stick, 51 the stick is damaged, 75 not a repository, 90 the
            repository is damaged, 91 it cannot be read"""

OF = "the repository, stick or image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="REPO|IMAGE|DEVICE", type=Path, help="the folder of a repository, or a stick")
    parser.add_argument(
        "--share", metavar="PERCENT", type=above_zero, default=1.0, help="read this much, drawn at random"
    )
    add_key_arguments(parser, OF)


def run(arguments: argparse.Namespace) -> int:
    if arguments.path.is_dir():
        return run_on_repository(arguments)
    return run_on_stick(arguments)


def run_on_repository(arguments: argparse.Namespace) -> int:
    root = arguments.path
    with repository_trouble(root), progress() as shown:
        domain_id_of(root)
        key = given_key(arguments, OF)
        found = verify(root, unlock(root, key) if key else None, arguments.share, shown)
    if arguments.json:
        emit({**asdict(found), "whole": found.whole})
    else:
        show_repository(found)
    return 0 if found.whole else RepositoryDamaged.exit_code


def run_on_stick(arguments: argparse.Namespace) -> int:
    from builder.verify import verify_stick  # the stick's host has no builder

    key = given_key(arguments, OF)
    with progress() as shown:
        found = verify_stick(arguments.path, key.secret if key else None, arguments.share, shown)
    if arguments.json:
        fields = {name: getattr(found, name) for name in ("checkpoints", "files", "file_bytes", "file_bytes_read")}
        emit({**fields, "problems": found.problems, "whole": not found.problems})
    else:
        people.print(
            f"stick {found.inspection.layout.stick_id}: {found.checkpoints} checkpoint(s), "
            f"read {covered(found.file_bytes_read, found.file_bytes)} of their files",
            markup=False,
        )
        if key is None:
            people.print("the store is locked: look into it with --ask-passphrase")
        show_problems(found.problems)
    return StoreDamaged.exit_code if found.problems else 0


def covered(read_bytes: int, total_bytes: int) -> str:
    """How much was read, for people."""
    share = f" ({100 * read_bytes / total_bytes:.3g} %)" if total_bytes else ""
    return f"{format_bytes(read_bytes)} of {format_bytes(total_bytes)}{share}"


def show_repository(found: Verified) -> None:
    people.print(
        f"{found.packs} pack(s), read {covered(found.pack_bytes_read, found.pack_bytes)}; "
        f"{found.manifests} manifest(s), read {format_bytes(found.manifest_bytes)}",
        markup=False,
    )
    if found.versions is None:
        people.print("which versions that makes, and whether they are complete, is seen with the key")
    else:
        people.print(f"{found.versions} version(s), of which {len(found.incomplete)} cannot be restored whole")
    show_problems([*found.findings, *(line for lost in found.incomplete for line in incomplete_in_words(lost))])
    for note in found.notes:
        people.print(f"note: {note}", markup=False)


def show_problems(problems: list[str]) -> None:
    for problem in problems:
        people.print("[red]damaged:[/red] ", end="")
        people.print(problem, markup=False)
    if not problems:
        people.print("[green]whole[/green], as far as it was read")
