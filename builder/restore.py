"""The flow: versions in a repository -> a stick image, its suspended sessions included.

The parcels are restored into a scratch folder beside the image, in the clear and removed afterwards, and from there a
stick is created as any other. Commit point: the image's rename (builder.create), or the device's (builder.write).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from builder.create import CreatedStick, StickSpec, create_stick, require_target
from builder.device.devices import StickDevice
from builder.guest.parcels import ParcelRequest
from builder.store.storedparcels import STICK_FORMAT, subjects_on
from builder.write import WriteOptions, write_image
from lookaside.cache import Cache, Keeping
from lookaside.images import image_sources, places_brought, places_of
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.places import has_packs, is_elsewhere, places_named, sources_of
from lookaside.readable import Mapped, open_file
from lookaside.repository import DESCRIPTION, Repository
from lookaside.sealed import Opened
from lookaside.source import ChunkSource
from lookaside.versions import chain_of, resolved
from soulpad.backup.line import STICK, StoredVersion
from soulpad.backup.restoring import Traffic, restore
from soulpad.base.errors import BadInput, SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret

Complain = Callable[[str, SoulpadError], None]


@dataclass(frozen=True)
class Beside:
    """What may have chunks besides the repository. ``names``: see ``sources_at``; ``secret`` opens sticks among them;
    ``cache``: keeps what comes from jukeboxes and from the repository; ``complain``: is told what cannot be used."""

    names: Sequence[str]
    secret: Secret
    complain: Complain
    cache: Cache | None = None


def restore_stick(
    out: Path,
    spec: StickSpec,
    repository: Repository,
    versions: Sequence[StoredVersion],
    beside: Beside,
    passphrase: Secret,
    traffic: Traffic,
    progress: Progress,
) -> CreatedStick:
    """Makes the image ``out`` with one parcel for each of ``versions``. Raises what restoring and creating raise."""
    require_target(out)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.restored-") as folder:
        requests = []
        for stored in versions:
            parcel = Path(folder) / stored.description.uuid
            restore_parcel(repository, stored, parcel, beside, traffic, progress)
            requests.append(ParcelRequest(stored.description.name, parcel))
        return create_stick(out, replace(spec, parcels=tuple(requests)), passphrase, None, progress)


def restore_device(
    device: StickDevice,
    scratch: Path,
    spec: StickSpec,
    repository: Repository,
    versions: Sequence[StoredVersion],
    beside: Beside,
    passphrase: Secret,
    traffic: Traffic,
    progress: Progress,
) -> CreatedStick:
    """The same onto a device, by way of an image in ``scratch``, which is removed; where the device fails, it is kept,
    for it may have come from far. Raises what ``restore_stick`` and writing raise."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".soulpad-restore-") as folder:
        image = Path(folder) / "stick.img"
        made = restore_stick(image, spec, repository, versions, beside, passphrase, traffic, progress)
        try:
            write_image(image, device, WriteOptions(), progress)
        except SoulpadError as error:
            kept = image.replace(scratch / f"restored-{made.stick_id}.img")
            error.hint = f"{error.hint}; all is restored, into {kept}: soulpad write {kept} DEVICE".removeprefix("; ")
            raise
        return replace(made, image=device.path)


def restore_parcel(
    repository: Repository,
    stored: StoredVersion,
    folder: Path,
    beside: Beside,
    traffic: Traffic,
    progress: Progress,
) -> None:
    """Makes the folder of one parcel, from what is at hand first. Raises as ``restoring.restore``."""
    with ExitStack() as stack:
        found = [source for name in beside.names for source in sources_at(name, repository, stored, beside, stack)]
        kept = through(beside.cache, repository) if beside.cache else []
        restore(repository, stored, folder, [*found, *kept], traffic, progress)


def through(cache: Cache, repository: Repository) -> list[ChunkSource]:
    """A cache, and the repository as what fills it."""
    packs = Shelf(FolderTree(repository.root))
    filling = Keeping(packs, cache, f"{repository.root}, into the cache")
    return [Opened(sealed, repository.domain) for sealed in (cache, filling)]


def sources_at(
    name: str, repository: Repository, stored: StoredVersion, beside: Beside, stack: ExitStack
) -> list[ChunkSource]:
    """What has chunks there: a stick, an image, a parcel's folder, a repository, or what ``lookaside.places`` knows.
    Nothing, and a complaint, where that cannot be used."""
    path = Path(name)
    try:
        if (path / DESCRIPTION).exists():
            return [Repository.open(path, repository.domain)]
        version = resolved(stored.name, repository.manifest)
        if is_elsewhere(name) or has_packs(path):
            return sources_of(places_named(name), repository.domain, version, beside.cache)
        places = [places_of(version), places_brought(chain_of(stored.name, repository.manifest))]
        moments = list(images_in(path, stored, beside.secret, stack))
        return list(image_sources(name, repository.domain, places, moments))
    except SoulpadError as error:
        beside.complain(name, error)
    except OSError as error:
        beside.complain(name, BadInput(f"it cannot be read: {error.strerror}", "it is left out"))
    return []


def images_in(path: Path, stored: StoredVersion, secret: Secret, stack: ExitStack) -> Iterator[Mapping[str, Mapped]]:
    """The files of each checkpoint of the same parcel, newest first; of a folder, its own."""
    if path.is_dir():
        yield {file.name: stack.enter_context(open_file(file)) for file in path.iterdir() if file.is_file()}
        return
    for subject in stack.enter_context(subjects_on(path, secret)).whole:
        if subject.uuid == stored.description.uuid:
            yield from (moment.files for moment in subject.moments())


def stick_it_was(stored: StoredVersion) -> tuple[int | None, str | None]:
    """The size in bytes and the keyboard of the stick that a version came from, where it says them."""
    try:
        fields = json.loads(stored.manifest.documents[STICK])
        if fields["format"] != STICK_FORMAT:
            return None, None
        keyboard = fields["keyboard"]
        return int(fields["total_bytes"]), keyboard if isinstance(keyboard, str) else None
    except (KeyError, ValueError, TypeError, OverflowError):
        return None, None
