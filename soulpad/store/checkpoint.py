"""``checkpoint.json``: what belongs together, checked before QEMU sees any of it.

QEMU does not notice when RAM, device state and disk come from different moments, and makes a missing RAM file
silently of zeros. So a checkpoint's manifest names each file with its size, and the device state with its digest;
a checkpoint is verified against it before anything starts.

Two kinds: ``suspended`` (disks, RAM, device state) and ``disk-only`` (a parcel that was never run, or was shut
down from inside): it starts cold.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from soulpad.base.errors import CannotResume, StoreDamaged
from soulpad.store import document
from soulpad.store.parcel import Machine

FORMAT = "soulpad-checkpoint/1"
MANIFEST_NAME = "checkpoint.json"
RAM_NAME = "ram.img"
DEVICE_STATE_NAME = "device-state"

Kind = Literal["suspended", "disk-only"]


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
class CheckpointManifest:
    """The contents of ``checkpoint.json``. ``taken_at``: seconds since 1970, by the PC's clock, for people only.

    ``disk_bytes``: the size of each disk file, in order.
    """

    generation: int
    parent: int | None
    taken_at: int
    disk_bytes: tuple[int, ...]
    suspended: SuspendedState | None = None

    @property
    def kind(self) -> Kind:
        return "suspended" if self.suspended else "disk-only"

    def encode(self) -> bytes:
        fields: dict[str, Any] = {
            "generation": self.generation,
            "parent": self.parent,
            "taken_at": self.taken_at,
            "kind": self.kind,
            "disks": [{"file": disk_name(i), "size_bytes": size} for i, size in enumerate(self.disk_bytes)],
            "suspended": asdict(self.suspended) if self.suspended else None,
        }
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


def verified(folder: Path, generation: int) -> CheckpointManifest:
    """The manifest of the checkpoint in ``folder``, after its files were found whole.

    Sizes and existence of all files and the device state's digest (0.5 MB) are checked; RAM and disks are too
    large to read while the user waits. Raises CannotResume, StoreDamaged or UnknownFormat; changes nothing.
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
    for name, size_bytes in expected_files(manifest).items():
        _require_size(folder / name, size_bytes, generation)
    if manifest.suspended:
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


def _require_digest(path: Path, sha256: str, generation: int) -> None:
    if sha256_of(path) != sha256:
        raise CannotResume(
            f"checkpoint {generation}: {path.name} is not what was saved with it",
            "choose an older checkpoint",
        )
