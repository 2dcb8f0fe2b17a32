"""``soulpad backup``: the parcels of a stick or an image into a repository."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lookaside.keyring import Key, found_repository, open_repository
from lookaside.places import public_base_at
from lookaside.repository import DESCRIPTION, Repository, repository_trouble
from soulpad.backup.mounted import subjects_in
from soulpad.backup.saving import Saved, back_up
from soulpad.backup.seen import seen_of_this_user
from soulpad.backup.subject import Subject, Subjects
from soulpad.base.errors import BadInput, SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.secrets import harden_process, require_strong
from soulpad.base.units import format_bytes
from soulpad.cli.keys import REPOSITORY, add_key_arguments, given_key, key_or_prompt
from soulpad.cli.output import emit, people, progress

EPILOG = """examples:
  soulpad backup stick.img --to /mnt/nas/soulpad
  sudo soulpad backup /dev/sdb --to /mnt/usb/soulpad --parcel work
  sudo soulpad backup /mnt/store --to /mnt/usb/soulpad      a store that is mounted

The first backup makes the repository; its passphrase is the stick's unless you give another one. Later ones read what
changed, and store what the repository has not. The session is part of it. Interrupted, it is run again.

exit codes: 0 done, or nothing has changed; 12 wrong passphrase, 40 the repository is full, 51 the stick's store is
  damaged or was not closed in order, 75 no repository, 76 somebody else backed up meanwhile, 78 the repository has
  another line of versions, 79 it is an older copy of itself, 91 it cannot be read or written"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stick, the repository, their secrets."""
    parser.add_argument(
        "path",
        metavar="IMAGE|DEVICE|FOLDER",
        type=Path,
        help="an image file or a device, not in use; or the folder of a mounted store, a session may run beside",
    )
    parser.add_argument("--to", type=Path, required=True, metavar="REPO", help="the repository's folder")
    parser.add_argument("--parcel", action="append", default=[], metavar="NAME", help="only this one; several times")
    add_key_arguments(parser, "the stick")
    add_key_arguments(parser, "the repository", REPOSITORY)
    parser.add_argument(
        "--branch",
        action="store_true",
        help="also where the repository's newest version is none that this stick came from; nothing is lost",
    )
    parser.add_argument(
        "--public-base",
        metavar="DISC",
        help="a disc of the image that a parcel was made from (soulpad lookaside iso), which then serves its restores",
    )


def run(arguments: argparse.Namespace) -> int:
    """Backs up each parcel; one that fails does not hinder the others. Returns the code of the first failure."""
    harden_process()
    mounted = arguments.path.is_dir()
    key = key_or_prompt(arguments, "the repository" if mounted else "the stick")
    repository_key = given_key(arguments, "the repository", REPOSITORY) or key
    public = public_base_at(arguments.public_base) if arguments.public_base else None
    saved: list[Saved] = []
    with progress() as bar, subjects_in(arguments.path) if mounted else subjects_at(arguments.path, key) as found:
        subjects = named(found, arguments.parcel)
        failed = [item for item in found.failed if not arguments.parcel or item[0] in arguments.parcel]
        repository, made = repository_at(arguments.to, repository_key, bar)
        for subject in subjects:
            try:
                seen = seen_of_this_user()
                saved.append(back_up(subject, repository, seen, bar, branch=arguments.branch, public=public))
            except SoulpadError as error:
                failed.append((subject.description.name, error))
    if arguments.json:
        emit(as_fields(repository, made, saved, failed))
    else:
        show(repository, made, saved)
    for name, failure in failed:
        people.print(f"soulpad: {name}: {failure.message}\nhint: {failure.hint}", markup=False)
    return failed[0][1].exit_code if failed else 0


def subjects_at(path: Path, key: Key) -> AbstractContextManager[Subjects]:
    """The parcels of an image or a device. The stick's host, which has mounted its own store, has no builder."""
    from builder.store.storedparcels import subjects_on

    return subjects_on(path, key.secret)


def named(found: Subjects, names: list[str]) -> list[Subject]:
    """The parcels of these names or UUIDs, or all where none is named. Raises BadInput."""
    known = {word for subject in found.whole for word in (subject.description.name, subject.uuid)}
    if unknown := sorted(set(names) - known - {uuid for uuid, _ in found.failed}):
        there = ", ".join(subject.description.name for subject in found.whole)
        raise BadInput(f"there is no parcel {unknown[0]!r} on the stick", f"it has: {there or 'none'}")
    return [one for one in found.whole if not names or {one.description.name, one.uuid} & set(names)]


def repository_at(root: Path, key: Key, bar: Progress) -> tuple[Repository, bool]:
    """The repository in a folder, and whether it had to be made."""
    if not root.parent.is_dir():
        raise BadInput(f"there is no folder {root.parent}", "is the disk mounted?")
    with repository_trouble(root):
        if (root / DESCRIPTION).exists():
            bar.step("Opening the repository")
            return open_repository(root, key), False
        bar.step("Making the repository")
        if key.kind == "passphrase":
            require_strong(key.secret)
        return found_repository(root, key), True


def as_fields(
    repository: Repository, made: bool, saved: list[Saved], failed: list[tuple[str, SoulpadError]]
) -> dict[str, Any]:
    """The result for ``--json``."""
    return {
        "repository": str(repository.root),
        "repository_made": made,
        "parcels": [asdict(item) for item in saved],
        "failed": [{"parcel": name, "message": error.message, "exit_code": error.exit_code} for name, error in failed],
    }


def show(repository: Repository, made: bool, saved: list[Saved]) -> None:
    """The result for people."""
    if made:
        people.print(f"{repository.root}: a new repository", markup=False)
    for item in saved:
        people.print(line_of(item), markup=False)


def line_of(saved: Saved) -> str:
    """What happened to one parcel."""
    if not saved.made:
        return f"{saved.parcel}: nothing has changed since version {saved.version}"
    known = format_bytes(saved.image_bytes - saved.read_bytes)
    return (
        f"{saved.parcel}: version {saved.version} is made, from checkpoint {saved.generation}: "
        f"{format_bytes(saved.read_bytes)} read, {known} known without reading, "
        f"{format_bytes(saved.stored_bytes)} stored"
    )
