"""What is backed up: a parcel's current checkpoint, and the older ones that are still beside it.

Where they lie is no matter: in an image, read by the builder, or in the mounted store of the stick's host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lookaside.readable import Mapped
from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.store.checkpoint import DEVICE_STATE_NAME, CheckpointManifest, Fingerprint, expected_files
from soulpad.store.lineage import fingerprint, reaches_its_beginning
from soulpad.store.parcel import ParcelDescription
from soulpad.store.workingset import WORKING_SET_NAME

PIECE_BYTES = 1 << 20
_HINT = "start the stick once and choose another moment (F5), or see docs/recovery.md"


@dataclass(frozen=True)
class Moment:
    """A checkpoint: the bytes of its ``checkpoint.json``, and its files by their names."""

    content: bytes
    files: Mapping[str, Mapped]

    @cached_property
    def manifest(self) -> CheckpointManifest:
        return CheckpointManifest.decode(self.content)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.content)

    def images(self) -> dict[str, Mapped]:
        """The files that belong to a version, the working set among them. Raises StoreDamaged when one is missing."""
        names = [*expected_files(self.manifest), *([WORKING_SET_NAME] if WORKING_SET_NAME in self.files else [])]
        require_sizes(self)
        return {name: self.files[name] for name in names}


@dataclass(frozen=True)
class Subject:
    """A parcel to be backed up. ``content``: of its ``parcel.json``; ``stick``: what is known of the stick, as JSON."""

    content: bytes
    current: Moment
    others: tuple[Moment, ...] = ()
    stick: str = ""
    description: ParcelDescription = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "description", ParcelDescription.decode(self.content))

    @property
    def uuid(self) -> str:
        return self.description.uuid

    def moments(self) -> tuple[Moment, ...]:
        """All checkpoints, the current one first."""
        return (self.current, *self.others)

    def knows(self) -> frozenset[Fingerprint]:
        """All checkpoints that are here or that one of those came from."""
        here = {moment.fingerprint for moment in self.moments()}
        return frozenset(here.union(*(moment.manifest.history for moment in self.moments())))

    def knows_its_past(self) -> bool:
        """Whether the current checkpoint's history goes back to the parcel's beginning."""
        return reaches_its_beginning(self.current.manifest)


@dataclass(frozen=True)
class Subjects:
    """The parcels of a store, sorted by their names. ``failed``: the UUIDs of those that cannot be read, and why."""

    whole: list[Subject]
    failed: list[tuple[str, SoulpadError]]


def gathered(read: Callable[[str], Subject], uuids: Iterable[str]) -> Subjects:
    """Each parcel by ``read``: a damaged one does not hinder the others."""
    whole, failed = [], []
    for uuid in uuids:
        try:
            whole.append(read(uuid))
        except SoulpadError as error:
            failed.append((uuid, error))
    return Subjects(sorted(whole, key=lambda subject: subject.description.name), failed)


def require_sizes(moment: Moment) -> None:
    """Raises StoreDamaged unless each file of the checkpoint is there with the size that it must have."""
    for name, size_bytes in expected_files(moment.manifest).items():
        if name not in moment.files or moment.files[name].size_bytes != size_bytes:
            raise StoreDamaged(
                f"checkpoint {moment.manifest.generation} is not whole: {name} is missing or of another size", _HINT
            )


def require_whole(moment: Moment) -> None:
    """The same, and the device state is what was saved. Reads half a megabyte. Raises StoreDamaged."""
    require_sizes(moment)
    state = moment.manifest.suspended
    if state and sha256_of(moment.files[DEVICE_STATE_NAME]) != state.device_state_sha256:
        generation = moment.manifest.generation
        raise StoreDamaged(f"checkpoint {generation}: {DEVICE_STATE_NAME} is not what was saved with it", _HINT)


def sha256_of(image: Mapped) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    for position in range(0, image.size_bytes, PIECE_BYTES):
        digest.update(image.read_at(position, PIECE_BYTES))
    return digest.hexdigest()
