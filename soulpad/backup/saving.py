"""The flow: a parcel's current checkpoint becomes the newest version in a repository.

What changed since the version that was backed up last is known by the files' places, if that checkpoint is still beside
the current one; otherwise all is read, and what the repository has is not stored again. Commit point: the version's
number (lookaside.upload). Whatever ends it before, the next run finds the packs that were finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from lookaside.athand import AtHand
from lookaside.changed import changed_between, whole
from lookaside.domain import ChunkId
from lookaside.extentmap import UNIT_BYTES, ZEROS
from lookaside.making import VersionMaker
from lookaside.manifest import Manifest, VersionName
from lookaside.outlining import Outlining
from lookaside.publicbase import PublicBase
from lookaside.readable import Mapped
from lookaside.repository import Repository, repository_trouble
from lookaside.upload import uploading
from lookaside.versions import Version, as_keyframe, chain_of, needs_keyframe, resolved
from soulpad.backup.line import PARCEL, STICK, StoredVersion, newest_first, require_goes_on
from soulpad.backup.publicnote import noting, with_note
from soulpad.backup.seen import Seen, require_not_older
from soulpad.backup.subject import Moment, Subject, require_whole
from soulpad.base.errors import SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.spans import Span, bytes_in, union
from soulpad.store.checkpoint import MANIFEST_NAME, RAM_NAME

# A base further back than this has so much that changed since that looking for it is not worth the manifests to read.
BASES_LOOKED_AT = 8


@dataclass(frozen=True)
class Saved:
    """What was done. ``made``: whether there was anything to do. ``image_bytes``: of all files; ``read_bytes``: of
    them, the rest being known; ``new_chunks``, ``stored_bytes``: what the repository got."""

    parcel: str
    uuid: str
    version: int
    generation: int
    made: bool
    image_bytes: int
    read_bytes: int = 0
    new_chunks: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True)
class Base:
    """A version that the repository has, and its checkpoint's files that are still on the stick."""

    version: Version
    moment: Moment


def back_up(
    subject: Subject,
    repository: Repository,
    seen: Seen,
    progress: Progress,
    *,
    branch: bool = False,
    public: PublicBase | None = None,
) -> Saved:
    """Makes the version, or finds that there is nothing to do. ``branch``: also where the repository has another line,
    or is an older copy of itself. ``public``: a base image that everybody may have, to be noted where it is the same.

    Raises AnotherLine, OlderRepository, StoreDamaged, VersionTaken, NoSpace and what the repository raises.
    """
    newest = next(newest_first(repository, subject.uuid), None)
    if not branch:
        require_not_older(repository, subject.uuid, seen)
    saved = Saved(
        parcel=subject.description.name,
        uuid=subject.uuid,
        version=newest.number if newest else -1,
        generation=subject.current.manifest.generation,
        made=False,
        image_bytes=sum(image.size_bytes for image in subject.current.images().values()),
    )
    if newest and newest.fingerprint == subject.current.fingerprint:
        seen.note(repository.domain.public_id, subject.uuid, newest.number, newest.name)
        return saved
    if newest and not branch:
        require_goes_on(newest, subject)
    require_whole(subject.current)
    with repository_trouble(repository.root):
        return make_version(subject, repository, newest, saved, seen, progress, public)


def make_version(
    subject: Subject,
    repository: Repository,
    newest: StoredVersion | None,
    saved: Saved,
    seen: Seen,
    progress: Progress,
    public: PublicBase | None,
) -> Saved:
    """Stores the chunks and the manifest. Raises as ``back_up`` does, and OSError."""
    progress.step(f"Backing up {subject.description.name}")
    base = base_of(repository, subject)
    images = subject.current.images()
    changed = {name: changed_in(name, image, base, repository) for name, image in images.items()}
    reading = [whole(images[name].size_bytes) if spans is None else spans for name, spans in changed.items()]
    meter = Meter(progress, sum(bytes_in(spans) for spans in reading))
    with uploading(repository) as upload:
        domain = noting(repository.domain, public)
        outlining = Outlining(domain, upload, before_of(newest, base, repository), is_base=base is not None)
        maker = VersionMaker(domain, outlining, at_hand(subject, repository, base, seen))
        for name in sorted(images, key=lambda name: name == RAM_NAME):  # memory is looked up in the disks before it
            add = maker.add_memory if name == RAM_NAME else maker.add_image
            add(name, Metered(images[name], meter), changed[name])
        number, previous = (newest.number + 1, newest.name) if newest else (0, None)
        outlining.add_to(maker, number)
        base_name = base.version.name if base else None
        manifest = maker.manifest(subject.uuid, number, previous, base_name, documents_of(subject))
        noted = with_note(manifest, domain, base.version if base else None, repository)
        name = upload.commit(short_enough(noted, repository))
        seen.note(repository.domain.public_id, subject.uuid, number, name)
        return replace(
            saved,
            version=number,
            made=True,
            read_bytes=meter.read_bytes,
            new_chunks=upload.new_chunks,
            stored_bytes=upload.stored_bytes,
        )


def before_of(newest: StoredVersion | None, base: Base | None, repository: Repository) -> Version | None:
    """The version whose outlines the next one takes over; none where it cannot be read: they are a hint."""
    if base or not newest:
        return base.version if base else None
    try:
        return resolved(newest.name, repository.manifest)
    except (SoulpadError, OSError):
        return None


def at_hand(subject: Subject, repository: Repository, base: Base | None, seen: Seen) -> AtHand | None:
    """What spares reading and storing: the base's files, and page ids, which are kept beside what was seen; None where
    nothing can be kept there."""
    folder = seen.folder / "pages" / repository.domain.public_id.hex() / subject.uuid
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return AtHand(folder, base.version, base.moment.files) if base else AtHand(folder)


def documents_of(subject: Subject) -> dict[str, str]:
    """The small files that go into the manifest as they are."""
    documents = {PARCEL: subject.content.decode(), MANIFEST_NAME: subject.current.content.decode()}
    return documents | ({STICK: subject.stick} if subject.stick else {})


def base_of(repository: Repository, subject: Subject) -> Base | None:
    """The newest version whose checkpoint is still on the stick, if any."""
    here = {moment.fingerprint: moment for moment in subject.others}
    for version in islice(newest_first(repository, subject.uuid), BASES_LOOKED_AT):
        if moment := here.get(version.fingerprint):
            return Base(resolved(version.name, repository.manifest), moment)
    return None


def changed_in(name: str, image: Mapped, base: Base | None, repository: Repository) -> list[Span] | None:
    """Where an image may differ from its base; None: it has none, and is described in full."""
    if base is None or name not in base.moment.files or name not in base.version.images:
        return None
    if base.moment.files[name].size_bytes != base.version.images[name].image_bytes:
        return None
    return union(changed_between(base.moment.files[name], image), lost_spans(base.version, name, repository))


def lost_spans(version: Version, name: str, repository: Repository) -> list[Span]:
    """The parts of a version's image whose chunks the repository has no more: they are read and stored again."""
    there: Mapping[ChunkId, object] = repository.places()
    gone = {number for number, chunk_id in enumerate(version.chunks) if chunk_id not in there}
    extents = version.images[name].extents if gone else ()
    return [
        (extent.start * UNIT_BYTES, extent.end * UNIT_BYTES)
        for extent in extents
        if extent.chunk != ZEROS and extent.chunk in gone
    ]


def short_enough(manifest: Manifest, repository: Repository) -> Manifest:
    """The manifest, or the same version's as a keyframe, where the chain of differences would be too long."""
    if manifest.base is None or not needs_keyframe(len(chain_of(manifest.base, repository.manifest))):
        return manifest
    itself = VersionName("")
    return as_keyframe(resolved(itself, lambda name: manifest if name == itself else repository.manifest(name)))


class Meter:
    """Counts what is read and tells it on."""

    def __init__(self, progress: Progress, total_bytes: int) -> None:
        self.read_bytes = 0
        self._progress = progress
        self._total_bytes = total_bytes

    def count(self, read_bytes: int) -> None:
        self.read_bytes += read_bytes
        self._progress.advance(self.read_bytes, self._total_bytes)


@dataclass(frozen=True)
class Metered:
    """An image of which each byte that is read is counted."""

    image: Mapped
    meter: Meter

    @property
    def size_bytes(self) -> int:
        return self.image.size_bytes

    def data_from(self, position: int) -> int:
        return self.image.data_from(position)

    def read_at(self, position: int, count: int) -> bytes:
        content = self.image.read_at(position, count)
        self.meter.count(len(content))
        return content
