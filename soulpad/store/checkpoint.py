"""``checkpoint.json``: what belongs together, checked before QEMU sees any of it.

QEMU does not notice when RAM, device state and disk come from different moments, and makes a missing RAM file
silently of zeros. So a checkpoint's manifest names each file with its size, and the device state with its digest;
a checkpoint is verified against it before anything starts.

Files of one checkpoint put into another's folder have the right sizes. So the manifest may also hold each file's
identity, its inode and time of modification, which no copy of another file has.

Two kinds: ``suspended`` (disks, RAM, device state) and ``disk-only`` (a parcel that was never run, or was shut
down from inside, or what a crash left of one): it starts cold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NewType, cast, get_args

from soulpad.base.errors import CannotResume, StoreDamaged
from soulpad.store import document
from soulpad.store.parcel import Machine

FORMAT = "soulpad-checkpoint/1"
MANIFEST_NAME = "checkpoint.json"
RAM_NAME = "ram.img"
DEVICE_STATE_NAME = "device-state"

Kind = Literal["suspended", "disk-only"]

Fingerprint = NewType("Fingerprint", str)  # see lineage

Occasion = Literal["created", "suspend", "while-running", "shut-down", "cut-off"]
"""Why a checkpoint was made: with the parcel; at a suspend; beside a session that went on; when the guest shut itself
down; of the disks that a power cut left and the person did not choose."""
OCCASIONS: tuple[str, ...] = get_args(Occasion)


def disk_name(index: int) -> str:
    """The file of a parcel's disk number ``index``."""
    return f"disk-{index}.img"


@dataclass(frozen=True)
class SuspendedState:
    """What a suspended checkpoint holds beside its disks, and what it needs to resume.

    ``accelerator``: libvirt's domain type, ``kvm`` or ``qemu``; a state saved under one is refused by the other.
    ``vmm``: QEMU's version as it names itself. ``memory_mib`` and the rest stand in ``machine``.
    """

    ram_bytes: int
    device_state_bytes: int
    device_state_sha256: str
    accelerator: str
    vmm: str
    machine: Machine


@dataclass(frozen=True)
class FileIdentity:
    """Which file it is, as stat(2) has it: unchanged by renaming, different for every copy and after every write."""

    file: str
    inode: int
    modified_ns: int


@dataclass(frozen=True)
class CheckpointManifest:
    """The contents of ``checkpoint.json``. ``taken_at``: seconds since 1970, by the PC's clock, for people only.

    ``disk_bytes``: the size of each disk file, in order. ``identity``: of each file, or empty where the checkpoint was
    not made on this file system (by the builder, or copied by hand). ``history``: the fingerprints of the checkpoints
    before this one, newest first (see lineage).
    """

    generation: int
    parent: int | None
    taken_at: int
    disk_bytes: tuple[int, ...]
    suspended: SuspendedState | None = None
    occasion: Occasion = "created"
    identity: tuple[FileIdentity, ...] = ()
    history: tuple[Fingerprint, ...] = ()

    @property
    def kind(self) -> Kind:
        return "suspended" if self.suspended else "disk-only"

    def encode(self) -> bytes:
        fields: dict[str, Any] = {
            "generation": self.generation,
            "parent": self.parent,
            "taken_at": self.taken_at,
            "occasion": self.occasion,
            "kind": self.kind,
            "disks": [{"file": disk_name(i), "size_bytes": size} for i, size in enumerate(self.disk_bytes)],
            "suspended": asdict(self.suspended) if self.suspended else None,
            "identity": [asdict(item) for item in self.identity],
        }
        if self.history:
            fields["history"] = " ".join(self.history)
        return document.encode(FORMAT, fields)

    @classmethod
    def decode(cls, content: bytes) -> CheckpointManifest:
        """Raises StoreDamaged or UnknownFormat."""
        fields = document.decode(content, FORMAT, MANIFEST_NAME)
        state = fields.optional_part("suspended")
        kind = cast(Kind, fields.text("kind"))
        if (kind == "suspended") != (state is not None):
            raise StoreDamaged(
                f"{MANIFEST_NAME} is damaged: its kind is {kind!r}", "the other checkpoints are untouched"
            )
        return cls(
            generation=fields.count("generation"),
            parent=fields.optional_count("parent"),
            taken_at=fields.count("taken_at"),
            disk_bytes=tuple(item.count("size_bytes") for item in fields.parts("disks")),
            suspended=_suspended(state) if state else None,
            occasion=_occasion(fields),
            identity=tuple(_identity(item) for item in fields.parts("identity")),
            history=tuple(Fingerprint(word) for word in (fields.optional_text("history") or "").split()),
        )


def _suspended(fields: document.Reader) -> SuspendedState:
    return SuspendedState(
        ram_bytes=fields.count("ram_bytes"),
        device_state_bytes=fields.count("device_state_bytes"),
        device_state_sha256=fields.text("device_state_sha256"),
        accelerator=fields.text("accelerator"),
        vmm=fields.text("vmm"),
        machine=Machine.from_fields(fields.part("machine")),
    )


def _occasion(fields: document.Reader) -> Occasion:
    found = fields.text("occasion")
    if found not in OCCASIONS:
        raise StoreDamaged(
            f"{MANIFEST_NAME} is damaged: its occasion is {found!r}", "the other checkpoints are untouched"
        )
    return cast(Occasion, found)


def _identity(fields: document.Reader) -> FileIdentity:
    return FileIdentity(fields.text("file"), fields.count("inode"), fields.count("modified_ns"))


def identity_of(folder: Path, names: Iterable[str]) -> tuple[FileIdentity, ...]:
    """What the files in ``folder`` are now; they must be at rest."""
    found = ((name, (folder / name).stat()) for name in names)
    return tuple(FileIdentity(name, state.st_ino, state.st_mtime_ns) for name, state in found)


def verified(folder: Path, generation: int, *, disks_only: bool = False) -> CheckpointManifest:
    """The manifest of the checkpoint in ``folder``, after its files (or only its disks) were found whole.

    Sizes, existence and identity of all files and the device state's digest (0.5 MB) are checked; RAM and disks are
    too large to read while the user waits. Raises CannotResume, StoreDamaged or UnknownFormat; changes nothing.
    """
    path = folder / MANIFEST_NAME
    if not path.exists():
        raise CannotResume(f"checkpoint {generation} has no {MANIFEST_NAME}", "choose an older checkpoint")
    manifest = CheckpointManifest.decode(path.read_bytes())
    if manifest.generation != generation:
        raise CannotResume(
            f"checkpoint {generation} holds the manifest of {manifest.generation}",
            "choose an older checkpoint",
        )
    files = expected_files(replace(manifest, suspended=None) if disks_only else manifest)
    for name, size_bytes in files.items():
        _require_size(folder / name, size_bytes, generation)
    for item in manifest.identity:
        if item.file in files:
            _require_identity(folder, item, generation)
    if manifest.suspended and not disks_only:
        _require_digest(folder / DEVICE_STATE_NAME, manifest.suspended.device_state_sha256, generation)
    return manifest


def expected_files(manifest: CheckpointManifest) -> dict[str, int]:
    """Name and size in bytes of every file that the checkpoint must hold beside its manifest."""
    files = {disk_name(index): size for index, size in enumerate(manifest.disk_bytes)}
    if manifest.suspended:
        files[RAM_NAME] = manifest.suspended.ram_bytes
        files[DEVICE_STATE_NAME] = manifest.suspended.device_state_bytes
    return files


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_size(path: Path, size_bytes: int, generation: int) -> None:
    found = path.stat().st_size if path.exists() else None
    if found != size_bytes:
        state = "is missing" if found is None else f"has {found} bytes instead of {size_bytes}"
        raise CannotResume(f"checkpoint {generation}: {path.name} {state}", "choose an older checkpoint")


def _require_identity(folder: Path, wanted: FileIdentity, generation: int) -> None:
    if not (folder / wanted.file).exists() or identity_of(folder, [wanted.file]) != (wanted,):
        raise CannotResume(
            f"checkpoint {generation}: {wanted.file} is not the file that was saved with it",
            "choose an older checkpoint",
        )


def _require_digest(path: Path, sha256: str, generation: int) -> None:
    if sha256_of(path) != sha256:
        raise CannotResume(
            f"checkpoint {generation}: {path.name} is not what was saved with it",
            "choose an older checkpoint",
        )
