"""``soulpad restore``: a stick, or one parcel's files, from a repository."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builder.create import CreatedStick, StickSpec
from builder.device.devices import StickDevice, resolve
from builder.places import IMAGES
from builder.restore import Beside, restore_device, restore_parcel, restore_stick, stick_it_was
from builder.store.luks import LuksSpec
from lookaside.cache import Cache
from lookaside.keyring import Key, open_repository
from lookaside.othercopies import WithOtherCopies
from lookaside.places import with_manifests
from lookaside.repository import Repository, repository_trouble
from soulpad.backup.line import StoredVersion
from soulpad.backup.restoring import Traffic, choose
from soulpad.backup.seen import require_not_older, seen_of_this_user
from soulpad.base.errors import BadInput, DeviceTooSmall, SoulpadError, UsageError
from soulpad.base.secrets import (
    Secret,
    generate_passphrase,
    harden_process,
    passphrase_from_descriptor,
    passphrase_from_file,
    prompt_new_passphrase,
    require_strong,
)
from soulpad.base.units import MIB, format_bytes, parse_bytes
from soulpad.cli.erasing import confirm
from soulpad.cli.keys import add_key_arguments, key_or_prompt
from soulpad.cli.output import emit, people, progress

EPILOG = """examples:
  soulpad restore --from /mnt/nas/soulpad stick.img
  soulpad restore --from /mnt/nas/soulpad /dev/disk/by-id/usb-SanDisk_Ultra_4C530001-0:0
  soulpad restore --from /mnt/nas/soulpad stick.img --source old-stick.img --generate-passphrase
  soulpad restore --from /mnt/nas/soulpad --parcel work --version 12 --folder work/

The session goes on where the version was made. The new stick's passphrase is the repository's unless you say otherwise.
A device is refused unless it is a USB or removable disk that nobody uses; all that it holds is lost. The stick's image
is made first, in --scratch, and removed afterwards; if the device fails, it is kept.
Another stick of the same person may still hold most of it: name it with --source, and it need not come from far. What
must, and may take hours, can be kept with --cache: broken off and run again, it need not come a second time.

exit codes: 0 done, 2 not confirmed, 10 bad input, 12 wrong passphrase, 20 to 22 and 31 as soulpad write, 40 no space,
  70 and 71 a chunk is missing or damaged everywhere, 73 the version is damaged, 75 no repository, 79 the repository is
  an older copy of itself"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The repository, what to take from it, what to make of it, the secrets."""
    parser.add_argument(
        "out", type=Path, nargs="?", metavar="OUT", help="the image or the stick to make: a file or /dev/..."
    )
    parser.add_argument("--from", type=Path, required=True, dest="repository", metavar="REPO", help="the repository")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="make no stick, only a folder of one parcel's files")
    parser.add_argument("--parcel", action="append", default=[], metavar="NAME", help="only this one; several times")
    parser.add_argument("--version", type=int, metavar="N", help="of a single parcel: this version, not the newest")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="PLACE",
        help="what may have some of it: a stick, an image, a parcel's folder, another repository, a disc (image, or "
        "where it is mounted), http://HOST[:PORT] of a jukebox, or jukebox: all on this network; several times",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep what comes from afar in DIR, encrypted as it is"
    )
    parser.add_argument("--cache-size", default="20GB", metavar="SIZE", help="what DIR may hold (20GB)")
    add_key_arguments(parser, "the repository")
    new = parser.add_mutually_exclusive_group()
    new.add_argument("--ask-new-passphrase", action="store_true", help="ask for another passphrase for the stick")
    new.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help="read it from FILE")
    new.add_argument("--new-passphrase-fd", type=int, metavar="N", help="read it from an open descriptor")
    new.add_argument("--generate-passphrase", action="store_true", help="make one of random words, and show it once")
    parser.add_argument("--size", help="the stick's size; default: that of the stick that was backed up")
    parser.add_argument("--keyboard", help="keyboard layout at the prompt; default: that of the stick")
    parser.add_argument("--recipe", type=Path, default=IMAGES / "host.toml", help="host recipe (images/host.toml)")
    parser.add_argument("--unlock-memory", default="256MiB", help="memory that unlocking takes (256MiB)")
    parser.add_argument("--older-copy", action="store_true", help="also from an older copy of the repository")
    parser.add_argument(
        "--scratch", type=Path, default=Path(), metavar="DIR", help="where a device's image is made (.)"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before erasing a device")
    parser.add_argument("--allow-loop-device", action="store_true", help=argparse.SUPPRESS)  # for tests, as in write
    parser.add_argument("--kernel-argument", action="append", default=[], metavar="WORD", help="as in: soulpad create")


def run(arguments: argparse.Namespace) -> int:
    """Restores, and says what was done."""
    harden_process()
    require_one_target(arguments)
    device = stick_named(arguments)
    key = key_or_prompt(arguments, "the repository")
    with repository_trouble(arguments.repository):
        opened = open_repository(arguments.repository, key)
        repository = WithOtherCopies(opened, lambda: with_manifests(arguments.source))
        versions = chosen(repository, arguments.parcel, arguments.version)
    if not arguments.older_copy:
        for stored in versions:
            require_not_older(repository, stored.description.uuid, seen_of_this_user())
    traffic = Traffic()
    stick = None
    if arguments.folder:
        restore_one(arguments, repository, versions, key, traffic)
    else:
        stick = restore_all(arguments, repository, versions, key, traffic, device)
    if arguments.json:
        emit(as_fields(versions, traffic, stick))
    else:
        show(versions, traffic, arguments.folder or arguments.out)
    return 0


def require_one_target(arguments: argparse.Namespace) -> None:
    """Raises UsageError unless one thing is asked for."""
    if bool(arguments.out) == bool(arguments.folder):
        raise UsageError("name one of: OUT, --folder DIR", "soulpad restore --help has examples")


def chosen(repository: Repository, names: list[str], number: int | None) -> list[StoredVersion]:
    """The versions to restore. Raises BadInput."""
    newest = [choose(repository, uuid, None) for uuid in repository.parcels()]
    known = {word for stored in newest for word in (stored.description.name, stored.description.uuid)}
    if unknown := sorted(set(names) - known) or ([] if newest else ["any"]):
        there = ", ".join(sorted(stored.description.name for stored in newest))
        raise BadInput(f"there is no parcel {unknown[0]!r} in {repository.root}", f"it has: {there or 'none'}")
    wanted = [one for one in newest if not names or {one.description.name, one.description.uuid} & set(names)]
    if number is None:
        return wanted
    if len(wanted) != 1:
        raise BadInput("a version's number is that of a single parcel", "say which one: --parcel NAME")
    return [choose(repository, wanted[0].description.uuid, number)]


def restore_one(
    arguments: argparse.Namespace, repository: Repository, versions: list[StoredVersion], key: Key, traffic: Traffic
) -> None:
    """Makes the folder of the one parcel."""
    if len(versions) != 1:
        raise BadInput("a folder holds a single parcel", "say which one: --parcel NAME")
    if not arguments.folder.resolve().parent.is_dir():
        raise BadInput(f"there is no folder {arguments.folder.parent}", "make it first")
    folder = arguments.folder.resolve()
    with progress() as bar:
        restore_parcel(repository, versions[0], folder, beside_of(arguments, key), traffic, bar)


def beside_of(arguments: argparse.Namespace, key: Key) -> Beside:
    """What may have chunks besides the repository. Raises BadInput where there can be no cache."""
    cache = None
    if arguments.cache:
        try:
            cache = Cache(arguments.cache, parse_bytes(arguments.cache_size))
        except OSError as error:
            raise BadInput(
                f"there can be no cache in {arguments.cache}: {error.strerror}", "name a folder that may be written"
            ) from None
    return Beside(arguments.source, key.secret, complain, cache)


def stick_named(arguments: argparse.Namespace) -> StickDevice | None:
    """The stick to write, which may be erased; None: OUT is to be a file. Raises DeviceRefused, UsageError."""
    if not arguments.out or not is_device(arguments.out):
        return None
    device = resolve(str(arguments.out), arguments.allow_loop_device)
    if not arguments.scratch.is_dir():
        raise BadInput(f"there is no folder {arguments.scratch}", "make it first, or name another one: --scratch DIR")
    if not arguments.yes:
        confirm(device)
    return device


def is_device(path: Path) -> bool:
    """Whether a device is meant, also one that is not there: no file is to be made in /dev."""
    below = path.absolute().parents
    return path.is_block_device() or (Path("/dev") in below and Path("/dev/shm") not in below)


def restore_all(
    arguments: argparse.Namespace,
    repository: Repository,
    versions: list[StoredVersion],
    key: Key,
    traffic: Traffic,
    device: StickDevice | None,
) -> CreatedStick:
    """Makes the stick image, and the stick of it where that is asked for."""
    spec = spec_of(arguments, versions, device)
    passphrase = passphrase_of(arguments, key)
    given = repository, versions, beside_of(arguments, key), passphrase, traffic
    with progress() as bar:
        if device is None:
            return restore_stick(arguments.out, spec, *given, bar)
        return restore_device(device, arguments.scratch, spec, *given, bar)


def spec_of(
    arguments: argparse.Namespace, versions: list[StoredVersion], device: StickDevice | None = None
) -> StickSpec:
    """The stick, as far as it is not said like the one that was backed up; never larger than the device. Raises
    BadInput, DeviceTooSmall."""
    sizes, keyboards = zip(*(stick_it_was(stored) for stored in versions), strict=True)
    known_bytes = max((size for size in sizes if size), default=None)
    total_bytes = parse_bytes(arguments.size) if arguments.size else known_bytes
    if device and not arguments.size:
        total_bytes = min(total_bytes or device.size_bytes, device.size_bytes)
    if device and total_bytes and total_bytes > device.size_bytes:  # said now, and not after hours of restoring
        raise DeviceTooSmall(
            f"{device.path} has {format_bytes(device.size_bytes)}, less than --size {arguments.size}",
            "leave --size out, or take a larger stick",
        )
    if total_bytes is None:
        raise BadInput("the versions do not say how large their stick was", "say how large this one is: --size 16GB")
    return StickSpec(
        total_bytes=total_bytes // MIB * MIB,
        parcels=(),
        host_recipe=arguments.recipe,
        keyboard=arguments.keyboard or next((word for word in keyboards if word), "us"),
        luks=LuksSpec(argon2_memory_kib=parse_bytes(arguments.unlock_memory) // 1024),
        kernel_arguments=tuple(arguments.kernel_argument),
    )


def passphrase_of(arguments: argparse.Namespace, key: Key) -> Secret:
    """The new stick's passphrase: what was said, else the repository's. Raises WeakPassphrase."""
    if arguments.generate_passphrase:
        secret = generate_passphrase()
        people.print("the passphrase, shown this once:", style="bold")
        people.print(f"  {secret.reveal().decode()}")
        return secret
    if arguments.new_passphrase_file:
        return require_strong(passphrase_from_file(arguments.new_passphrase_file))
    if arguments.new_passphrase_fd is not None:
        return require_strong(passphrase_from_descriptor(arguments.new_passphrase_fd))
    if arguments.ask_new_passphrase or key.kind == "key-file":
        return prompt_new_passphrase()
    return require_strong(key.secret)


def complain(name: str, error: SoulpadError) -> None:
    """A source that is of no use is said, and done without."""
    people.print(f"{name} is not used: {error.message}", markup=False)


def version_fields(stored: StoredVersion) -> dict[str, Any]:
    """A version for ``--json``."""
    return {
        "parcel": stored.description.name,
        "uuid": stored.description.uuid,
        "version": stored.number,
        "name": stored.name,
        "generation": stored.checkpoint.generation,
        "kind": stored.checkpoint.kind,
        "taken_at": stored.checkpoint.taken_at,
    }


def as_fields(versions: list[StoredVersion], traffic: Traffic, stick: CreatedStick | None) -> dict[str, Any]:
    """The result for ``--json``."""
    return {
        "versions": [version_fields(stored) for stored in versions],
        "stick": asdict(stick) if stick else None,
        "bytes": {"content": traffic.content_bytes, "zeros": traffic.zero_bytes} | traffic.came.to_fields(),
    }


def show(versions: list[StoredVersion], traffic: Traffic, target: Path) -> None:
    """The result for people."""
    for stored in versions:
        people.print(f"{stored.description.name}: version {stored.number} is in {target}", markup=False)
    for line in traffic.came.lines():
        people.print(f"  {line}", markup=False)
