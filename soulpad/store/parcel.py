"""``parcel.json``: who a parcel is, and the virtual machine frozen when it was created.

The machine never changes under a suspended session: QEMU refuses, or worse accepts and then crashes, a state
loaded into another machine (machine type, CPU model, devices).
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from soulpad.base.errors import BadInput
from soulpad.store import document

FORMAT = "soulpad-parcel/1"

MACHINE_TYPE = "pc-q35-10.0"
# A versioned model of the least CPU that we promise; without vme, which nested KVM on AMD-like CPUs lacks.
ANY_PC_CPU = "Nehalem-v1,-vme"


@dataclass(frozen=True)
class Disk:
    """A raw disk file of ``size_bytes`` on the ``bus`` (libvirt's name: virtio, sata)."""

    file: str
    size_bytes: int
    bus: str = "virtio"


@dataclass(frozen=True)
class Machine:
    """The frozen virtual machine. ``cpu_model`` as QEMU's ``-cpu``, without ``enforce``, which is always added."""

    memory_mib: int
    disks: tuple[Disk, ...]
    vcpus: int = 1
    machine_type: str = MACHINE_TYPE
    cpu_model: str = ANY_PC_CPU
    video: str = "virtio"
    nic: str = "virtio"
    sound: str = "none"
    mac_address: str = "52:54:00:50:41:44"

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: document.Reader) -> Machine:
        return cls(
            memory_mib=fields.count("memory_mib"),
            disks=tuple(
                Disk(item.text("file"), item.count("size_bytes"), item.text("bus")) for item in fields.parts("disks")
            ),
            vcpus=fields.count("vcpus"),
            machine_type=fields.text("machine_type"),
            cpu_model=fields.text("cpu_model"),
            video=fields.text("video"),
            nic=fields.text("nic"),
            sound=fields.text("sound"),
            mac_address=fields.text("mac_address"),
        )


@dataclass(frozen=True)
class ParcelDescription:
    """The contents of ``parcel.json``. ``suspend_when_idle_minutes``: its sessions end after so long without a key or
    mouse; None: never."""

    name: str
    machine: Machine
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    suspend_when_idle_minutes: int | None = None

    def encode(self) -> bytes:
        idle = {"suspend_when_idle_minutes": self.suspend_when_idle_minutes} if self.suspend_when_idle_minutes else {}
        fields = {"uuid": self.uuid, "name": self.name, **idle, "machine": self.machine.to_fields()}
        return document.encode(FORMAT, fields)

    @classmethod
    def decode(cls, content: bytes) -> ParcelDescription:
        """Raises StoreDamaged or UnknownFormat."""
        fields = document.decode(content, FORMAT, "parcel.json")
        return cls(
            name=fields.text("name"),
            machine=Machine.from_fields(fields.part("machine")),
            uuid=fields.text("uuid"),
            # 0 would end every session as it begins: whoever wrote it meant never
            suspend_when_idle_minutes=fields.optional_count("suspend_when_idle_minutes") or None,
        )


def random_mac_address() -> str:
    """A locally administered address under QEMU's prefix, so that two parcels may meet on one network."""
    return "52:54:00:" + ":".join(f"{octet:02x}" for octet in secrets.token_bytes(3))


def check_name(name: str) -> str:
    """A parcel's name: one line of 1 to 40 printable characters. Returns it or raises BadInput."""
    if not (1 <= len(name) <= 40 and name.isprintable() and name == name.strip()):
        raise BadInput(f"{name!r} cannot be a parcel's name", "use 1 to 40 printable characters")
    return name
