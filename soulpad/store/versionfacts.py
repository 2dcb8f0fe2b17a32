"""What a version in a repository tells people: the parcel's name, when it was taken, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

from lookaside.manifest import Manifest
from lookaside.outlines import is_outlines
from lookaside.repository import Repository
from lookaside.retention import Dated
from soulpad.base.errors import BadInput, SoulpadError
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest
from soulpad.store.parcel import ParcelDescription

PARCEL_NAME = "parcel.json"


@dataclass(frozen=True)
class VersionFacts:
    """``parcel_name``, ``taken_at`` (seconds since 1970, by the PC's clock), ``kind``: None where the version does not
    tell. ``image_bytes``: of its files, as the guest sees them. ``problem``: why nothing could be read."""

    number: int
    parcel_name: str | None = None
    taken_at: int | None = None
    kind: str | None = None
    image_bytes: int = 0
    problem: str = ""

    @property
    def dated(self) -> Dated:
        return Dated(self.number, self.taken_at)


def facts_of(number: int, manifest: Manifest) -> VersionFacts:
    """What the version's documents say; damaged ones say nothing."""
    image_bytes = sum(image.image_bytes for image in manifest.images if not is_outlines(image.name))
    try:
        name = ParcelDescription.decode(manifest.documents[PARCEL_NAME].encode()).name
        checkpoint = CheckpointManifest.decode(manifest.documents[MANIFEST_NAME].encode())
    except (KeyError, SoulpadError):
        return VersionFacts(number, image_bytes=image_bytes)
    return VersionFacts(number, name, checkpoint.taken_at, checkpoint.kind, image_bytes)


def all_facts(repository: Repository, parcel: str) -> list[VersionFacts]:
    """Of all versions of a parcel, in order; of damaged ones the problem."""
    found = []
    for number in repository.numbers(parcel):
        try:
            if name := repository.version(parcel, number):
                found.append(facts_of(number, repository.manifest(name)))
        except SoulpadError as error:
            found.append(VersionFacts(number, problem=error.message))
    return found


def parcel_named(repository: Repository, wanted: str) -> str:
    """The UUID of the parcel of that name, by its newest version, or of that UUID. Raises BadInput unless it is one."""
    if wanted in repository.parcels():
        return wanted
    found = [parcel for parcel in repository.parcels() if name_of(repository, parcel) == wanted]
    if len(found) != 1:
        problem = "several parcels" if found else "no parcel"
        raise BadInput(
            f"There is {problem} named {wanted!r} in {repository.root}.",
            f"take the UUID: soulpad versions {repository.root}",
        )
    return found[0]


def name_of(repository: Repository, parcel: str) -> str | None:
    """What the parcel's newest version calls it; None where it does not tell."""
    try:
        newest = repository.newest(parcel)
        return facts_of(0, repository.manifest(newest)).parcel_name if newest else None
    except SoulpadError:
        return None
