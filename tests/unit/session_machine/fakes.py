"""A parcel in a folder and a QEMU that only notes what it is told and writes what a guest would."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from soulpad.session import live
from soulpad.session.parcels import LiveRecord, Parcel
from soulpad.session.thispc import ThisPc
from soulpad.store.checkpoint import (
    MANIFEST_NAME,
    RAM_NAME,
    CheckpointManifest,
    SuspendedState,
    expected_files,
)
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription

UUID = "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90"
DISK_NAME = "disk-0.img"
MEMORY_MIB, DISK_BYTES, STATE_BYTES = 2, 8192, 100
RAM_BYTES = MEMORY_MIB << 20
MACHINE = Machine(memory_mib=MEMORY_MIB, disks=(Disk(DISK_NAME, DISK_BYTES),))
OLD, NEW = 4, 5
GUEST_WROTE, NEW_STATE = b"the guest wrote this", b"device state of a later moment"
VMM, VM_USER_ID, VM_GROUP_ID = "QEMU 10.0.13", 64901, 64902
WITH_KVM, WITHOUT_KVM = ThisPc(2048, True, "vmx"), ThisPc(2048, False, None)


class Call(NamedTuple):
    """What QEMU was told, and whether live/ was still the checkpoint at that moment."""

    name: str
    live_is_clean: bool


@dataclass
class FakeHypervisor:
    """Starts machines; ``failures``: the errors of the calls that fail, by the call's name."""

    parcel: Parcel
    failures: dict[str, Exception] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    machines: list[FakeMachine] = field(default_factory=list)
    version: str = VMM

    def vmm_version(self) -> str:
        return self.version

    def watch(self, on_stop: Callable[[str], None] | None) -> None:
        self.note("watch" if on_stop else "watch no more")

    def start_paused(self, xml: str) -> FakeMachine:
        self.note("start")
        self.machines.append(FakeMachine(self, xml))
        return self.machines[-1]

    def note(self, name: str) -> None:
        record = self.parcel.live_record()
        self.calls.append(Call(name, record is not None and record.clean))
        if name in self.failures:
            raise self.failures[name]

    def names(self) -> list[str]:
        return [call.name for call in self.calls]


class FakeMachine:
    """A QEMU with stopped CPUs. It knows only the files that its domain names, and looks at them as it starts."""

    def __init__(self, hypervisor: FakeHypervisor, xml: str) -> None:
        domain = ET.fromstring(xml)
        [source] = domain.findall("devices/disk/source")
        words = [element.attrib["value"] for element in domain.iter() if element.tag.endswith("}arg")]
        [ram] = [word.split("mem-path=")[1].split(",")[0] for word in words if "mem-path=" in word]
        self.note = hypervisor.note
        self.accelerator, self.incoming = domain.attrib["type"], "-incoming" in words
        self.disk, self.ram = Path(source.attrib["file"]), Path(ram)
        self.disk_at_start, self.ram_at_start = self.disk.read_bytes(), self.ram.read_bytes()
        self.ram_blocks_at_start = self.ram.stat().st_blocks
        self.loaded: list[bytes] = []
        self.writes = GUEST_WROTE  # at the start of its disk and its RAM, whenever its CPUs begin to run

    def load_device_state(self, path: Path) -> None:
        self.note("load")
        self.loaded.append(path.read_bytes())

    def resume(self) -> None:
        """The CPUs run, and the guest writes to its disk and its RAM."""
        self.note("run")
        for path in (self.disk, self.ram):
            write_at_start(path, self.writes)

    def pause(self) -> None:
        self.note("pause")

    def save_device_state(self, path: Path) -> None:
        self.note("save")
        write_at_start(path, NEW_STATE)

    def kill(self) -> None:
        self.note("kill")


def write_at_start(path: Path, data: bytes) -> None:
    """Into a file that is there, as QEMU does whose user may make none; what is beyond stays."""
    with path.open("r+b") as file:
        file.write(data)


def content(moment: int, size_bytes: int) -> bytes:
    return bytes([moment]) * size_bytes


def manifest_of(moment: int, accelerator: str = "kvm") -> CheckpointManifest:
    digest = hashlib.sha256(content(moment, STATE_BYTES)).hexdigest()
    state = SuspendedState(RAM_BYTES, STATE_BYTES, digest, accelerator, VMM, MACHINE)
    return CheckpointManifest(moment, moment - 1, 1763700000 + moment, (DISK_BYTES,), state)


def disk_only(moment: int) -> CheckpointManifest:
    return replace(manifest_of(moment), suspended=None)


def add_checkpoint(parcel: Parcel, manifest: CheckpointManifest) -> None:
    folder = parcel.paths.checkpoint(manifest.generation)
    folder.mkdir(parents=True)
    for name, size_bytes in expected_files(manifest).items():
        (folder / name).write_bytes(content(manifest.generation, size_bytes))
    (folder / MANIFEST_NAME).write_bytes(manifest.encode())


def make_parcel(root: Path, manifest: CheckpointManifest) -> Parcel:
    parcel = Parcel(ParcelPaths(root, UUID), ParcelDescription("work", MACHINE, UUID))
    add_checkpoint(parcel, manifest)
    parcel.paths.description.write_bytes(parcel.description.encode())
    parcel.paths.current.write_text(f"{manifest.generation}\n")
    return parcel


def crash(parcel: Parcel, generation: int = OLD) -> None:
    """What a power cut leaves in live/: a disk and RAM that the guest wrote to, and a record that is not clean."""
    folder = live.begin_live(parcel, parcel.current(), with_ram=True)
    for name in (DISK_NAME, RAM_NAME):
        write_at_start(folder / name, GUEST_WROTE)
    live.write_record(folder, LiveRecord(generation, clean=False, began_at=1763700000))


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def written_over(before: bytes) -> bytes:
    return GUEST_WROTE + before[len(GUEST_WROTE) :]


def is_clean(parcel: Parcel) -> bool:
    record = parcel.live_record()
    assert record is not None
    return record.clean
