"""The line of a parcel's versions in a repository, and whether what a stick holds goes on from its newest one.

A stick that was lost and restored may turn up again, and then two sticks go on from one checkpoint. Neither overwrites
the other's versions here: the one that comes second is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lookaside.errors import DamagedManifest
from lookaside.manifest import Manifest, VersionName, require_place
from lookaside.repository import Repository
from soulpad.backup.subject import Subject
from soulpad.base.errors import SoulpadError
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, Fingerprint
from soulpad.store.lineage import fingerprint
from soulpad.store.parcel import ParcelDescription

PARCEL, STICK = "parcel.json", "stick.json"


class AnotherLine(SoulpadError):
    """The repository's newest version is none that the stick came from."""

    exit_code = 78


class OlderRepository(SoulpadError):
    """The repository lacks versions that were backed up to it."""

    exit_code = 79


@dataclass(frozen=True)
class StoredVersion:
    """A version in a repository and its number in the parcel's line."""

    number: int
    name: VersionName
    manifest: Manifest

    @cached_property
    def checkpoint(self) -> CheckpointManifest:
        return CheckpointManifest.decode(self.document(MANIFEST_NAME))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.document(MANIFEST_NAME))

    @cached_property
    def description(self) -> ParcelDescription:
        return ParcelDescription.decode(self.document(PARCEL))

    def document(self, name: str) -> bytes:
        """A small file of the version. Raises DamagedManifest when it has none of that name."""
        if name not in self.manifest.documents:
            raise DamagedManifest(f"Version {self.number} has no {name}.", "use another version")
        return self.manifest.documents[name].encode()


def newest_first(repository: Repository, parcel: str) -> Iterator[StoredVersion]:
    """The parcel's versions; each is read when it is asked for. Raises DamagedManifest."""
    for number, name in sorted(repository.versions(parcel).items(), reverse=True):
        yield stored_version(repository, parcel, number, name)


def stored_version(repository: Repository, parcel: str, number: int, name: VersionName) -> StoredVersion:
    """The version that is filed under this parcel and number. Raises DamagedManifest, also if it is another one:
    somebody put an older version, or another parcel's, in its place."""
    return StoredVersion(number, name, require_place(repository.manifest(name), parcel, number))


def require_goes_on(newest: StoredVersion, subject: Subject) -> None:
    """Raises AnotherLine unless the stick came from the repository's newest version, as far as can be known."""
    if newest.fingerprint in subject.knows() or not subject.knows_its_past():
        return
    name = subject.description.name
    if subject.current.fingerprint in newest.checkpoint.history:
        raise AnotherLine(
            f"The repository has a later state of {name!r} already, version {newest.number}: this stick is behind it.",
            "another stick, or a later copy of this one, was backed up; make this one's state the newest: --branch",
        )
    raise AnotherLine(
        f"The repository's newest version of {name!r}, {newest.number}, is none that this stick came from.",
        "another stick went on from an earlier version; add this one's state behind it, nothing is lost: --branch",
    )
