"""``soulpad recover``: saves what is whole in a damaged repository, stick or image."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from lookaside.errors import RepositoryDamaged
from lookaside.keyring import Key
from lookaside.repository import repository_trouble
from lookaside.salvaging import Salvaged, domain_of_damaged, salvage
from soulpad.base.errors import StoreDamaged
from soulpad.base.units import format_bytes
from soulpad.cli.keys import add_key_arguments, key_or_prompt
from soulpad.cli.losses import incomplete_in_words, spans_in_words
from soulpad.cli.output import emit, people, progress

EPILOG = """example: soulpad recover /mnt/backup --to /mnt/new
         soulpad recover stick.img --to files

Of a repository: whole packs are copied, whole chunks are taken out of damaged ones, versions are found by their
manifests where their numbers are missing, and the new folder is a repository with the same keys. Of a stick or an
image: the files of its parcels, laid out as in its store. What is lost is said: which version, which image, which
bytes. Versions and files of which something is lost are only saved with --partial, with zeros in its place. What is
read is never changed.

exit codes: 0 all was saved, 10 or 75 the target is not empty, 12 the secret opens nothing, 30 not a stick, 40 the disk
            is full, 51 something of the stick is lost, 90 something of the repository is lost (the rest is saved)"""

OF = "the repository, stick or image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="REPO|IMAGE|DEVICE", type=Path, help="what is damaged")
    parser.add_argument("--to", metavar="FOLDER", type=Path, required=True, help="a new or an empty folder")
    parser.add_argument(
        "--partial", action="store_true", help="save also what is not whole, with zeros for what is lost"
    )
    add_key_arguments(parser, OF)


def run(arguments: argparse.Namespace) -> int:
    key = key_or_prompt(arguments, OF)
    if arguments.path.is_dir():
        return run_on_repository(arguments, key)
    return run_on_stick(arguments, key)


def run_on_repository(arguments: argparse.Namespace, key: Key) -> int:
    root, target = arguments.path, arguments.to
    with repository_trouble(target), progress() as shown:
        domain = domain_of_damaged(root, key)
        found = salvage(root, domain, target, partial=arguments.partial, progress=shown)
    if arguments.json:
        emit({**asdict(found), "all_saved": found.all_saved})
    else:
        show_repository(found)
    return 0 if found.all_saved else RepositoryDamaged.exit_code


def show_repository(found: Salvaged) -> None:
    lines = [
        f"{found.packs} whole pack(s) copied, {found.saved_chunks} chunk(s) saved from {found.damaged_packs} damaged",
        f"{found.versions} version(s) saved, {found.found_by_manifest} of them found by their manifests",
    ]
    if found.lost_manifests:
        lines.append(f"lost: {found.lost_manifests} manifest(s)")
    for name, versions in (("lost", found.lost), ("saved in part", found.partial)):
        lines += [f"{name}: {line}" for lost in versions for line in incomplete_in_words(lost)]
    for line in lines:
        people.print(line, markup=False)


def run_on_stick(arguments: argparse.Namespace, key: Key) -> int:
    from builder.recover import recover_stick  # the stick's host has no builder

    with repository_trouble(arguments.to), progress() as shown:
        found = recover_stick(arguments.path, key.secret, arguments.to, shown, partial=arguments.partial)
    if arguments.json:
        emit({"files": found.files, "file_bytes": found.file_bytes, "lost": found.lost, "problems": found.problems})
    else:
        people.print(f"{found.files} file(s) saved, {format_bytes(found.file_bytes)}", markup=False)
        for problem in found.problems:
            people.print(f"damaged: {problem}", markup=False)
        for name, spans in found.lost.items():
            people.print(f"lost: {name}: {spans_in_words(spans)}", markup=False)
    return StoreDamaged.exit_code if found.lost or found.problems else 0
