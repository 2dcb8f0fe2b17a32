"""The stick as a whole: its partitions' names, and ``soulpad.json``, the public description on the ESP.

Partitions (GPT), in this order; a name is ``soulpad-ROLE-ID`` with the stick's id, eight hex digits, so that
two sticks in one PC are never mixed up:

    bios     1 MiB, GRUB's core image for BIOS PCs; at its end the boot mark
    esp      FAT32: shim, GRUB, kernel, initrd, soulpad.json
    host-a   squashfs: the live host
    host-b   reserved for the next host
    parcels  LUKS2 (payload at PAYLOAD_OFFSET_BYTES), XFS with reflink inside; grows to fill the stick

``soulpad.json`` is readable by everyone and only advisory: nothing in it is trusted, nothing secret is in it, and
parcels are known by their uuid alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from soulpad.base.units import MIB
from soulpad.store import document

FORMAT = "soulpad-stick/1"
ESP_LABEL = "SOULPAD"
DESCRIPTION_NAME = "soulpad.json"
ROLES = ("bios", "esp", "host-a", "host-b", "parcels")
PAYLOAD_OFFSET_BYTES = 16 * MIB
ENCRYPTION_SECTOR_BYTES = 4096
STORE_LABEL = "parcels"
# At the end of the partition ``bios``, rewritten at each start: tells whether the stick was used elsewhere meanwhile.
BOOT_MARK_BYTES = 4096


@dataclass(frozen=True)
class ParcelRequirement:
    """What a PC must have to resume this parcel: said before the passphrase. ``vmm``: the QEMU that suspended it, if it
    is suspended."""

    uuid: str
    cpu_model: str
    memory_mib: int
    accelerator: str
    vmm: str | None = None

    def to_fields(self) -> dict[str, Any]:
        """Without ``vmm`` where it is not known: so the first sticks were written."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class StickDescription:
    """The contents of ``soulpad.json``. ``stick_id``: eight hex digits."""

    stick_id: str
    host_version: str
    keyboard: str
    parcels: tuple[ParcelRequirement, ...]

    def encode(self) -> bytes:
        return document.encode(FORMAT, asdict(self) | {"parcels": [parcel.to_fields() for parcel in self.parcels]})

    @classmethod
    def decode(cls, content: bytes) -> StickDescription:
        """Raises StoreDamaged or UnknownFormat."""
        fields = document.decode(content, FORMAT, DESCRIPTION_NAME)
        parcels = (
            ParcelRequirement(
                uuid=item.text("uuid"),
                cpu_model=item.text("cpu_model"),
                memory_mib=item.count("memory_mib"),
                accelerator=item.text("accelerator"),
                vmm=item.optional_text("vmm"),
            )
            for item in fields.parts("parcels")
        )
        return cls(
            stick_id=fields.text("stick_id"),
            host_version=fields.text("host_version"),
            keyboard=fields.text("keyboard"),
            parcels=tuple(parcels),
        )


def partition_name(role: str, stick_id: str) -> str:
    """The GPT name of a partition."""
    return f"soulpad-{role}-{stick_id}"


def role_of(name: str) -> str | None:
    """The role that a GPT partition name gives, or None when the partition is not ours."""
    return next((role for role in ROLES if name.startswith(f"soulpad-{role}-")), None)
