"""Sticks outlive programs: documents as earlier versions wrote them are read to the same values and written back to
the same bytes. A sample is never changed; a new format version gets a new one beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soulpad.base.errors import SoulpadError, StoreDamaged, UnknownFormat
from soulpad.session.live import write_record
from soulpad.session.parcels import LIVE_FORMAT, LiveRecord, Parcel
from soulpad.store import checkpoint, parcel, stick, workingset
from soulpad.store.checkpoint import CheckpointManifest, FileIdentity, Fingerprint, SuspendedState
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from soulpad.store.stick import ParcelRequirement, StickDescription
from soulpad.store.workingset import Run, WorkingSet

SAMPLES = Path(__file__).parent / "samples"

UUID = "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90"
MACHINE = Machine(
    memory_mib=2048,
    disks=(Disk("disk-0.img", 8 << 30, "virtio"), Disk("disk-1.img", 1 << 20, "sata")),
    vcpus=2,
    machine_type="pc-q35-10.0",
    cpu_model="Nehalem-v1,-vme",
    video="virtio",
    nic="virtio",
    sound="none",
    mac_address="52:54:00:12:ab:0f",
)
STICK = StickDescription(
    stick_id="0badcafe",
    host_version="0.1.0+4f1c2a9b",
    keyboard="de-latin1-nodeadkeys",
    parcels=(
        ParcelRequirement(UUID, "Nehalem-v1,-vme", 2048, "any"),
        ParcelRequirement("f3b9a2d4-1c60-4e0f-8f3a-7f2d9be01a11", "Nehalem-v1,-vme", 512, "kvm"),
    ),
)
SUSPENDED_STICK = StickDescription(
    stick_id="5eed1e55",
    host_version="0.1.0+4f1c2a9b",
    keyboard="us",
    parcels=(
        ParcelRequirement(
            "f3b9a2d4-1c60-4e0f-8f3a-7f2d9be01a11",
            "Haswell-v2,-vme,-pcid,-invpcid,-erms,-rdrand,-xsaveopt,-tsc-deadline",
            4096,
            "kvm",
            "QEMU 10.0.13",
        ),
    ),
)
SUSPENDED = CheckpointManifest(
    generation=7,
    parent=5,
    taken_at=1763700000,
    disk_bytes=(8 << 30, 1 << 20),
    suspended=SuspendedState(
        ram_bytes=2 << 30,
        device_state_bytes=440277,
        device_state_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        accelerator="kvm",
        vmm="QEMU 10.0.13",
        machine=MACHINE,
    ),
    occasion="while-running",
    identity=(FileIdentity("ram.img", 131, 1763700000123456789), FileIdentity("disk-0.img", 132, 1763700000123456790)),
)
WITH_HISTORY = replace(SUSPENDED, history=(Fingerprint("0123456789abcdef"), Fingerprint("fedcba9876543210")))
DISK_ONLY = CheckpointManifest(generation=0, parent=None, taken_at=1763600000, disk_bytes=(1 << 30,))
WORKING_SET = WorkingSet(2 << 30, (Run(0x1A2B, 16), Run(0, 1), Run(0x7FFF0, 16)))
LIVE = LiveRecord(generation=7, clean=False, began_at=1763703600)


def read_live(content: bytes, folder: Path) -> LiveRecord:
    """Through a parcel's folder: the record has no reader of its own."""
    paths = ParcelPaths(folder, UUID)
    paths.live.mkdir(parents=True, exist_ok=True)
    paths.live_session.write_bytes(content)
    record = Parcel(paths, ParcelDescription("work", MACHINE, UUID)).live_record()
    assert record
    return record


def written_live(record: LiveRecord, folder: Path) -> bytes:
    write_record(folder, record)
    return (folder / "session.json").read_bytes()


Read = Callable[[bytes, Path], Any]
Write = Callable[[Any, Path], bytes]

READ: dict[str, Read] = {
    stick.FORMAT: lambda content, _: StickDescription.decode(content),
    parcel.FORMAT: lambda content, _: ParcelDescription.decode(content),
    checkpoint.FORMAT: lambda content, _: CheckpointManifest.decode(content),
    workingset.FORMAT: lambda content, _: WorkingSet.decode(content),
    LIVE_FORMAT: read_live,
}
WRITE: dict[str, Write] = dict.fromkeys(READ, lambda value, _: value.encode()) | {LIVE_FORMAT: written_live}

EXPECTED = {
    "soulpad-stick-1.json": STICK,
    "soulpad-stick-1-vmm.json": SUSPENDED_STICK,
    "soulpad-parcel-1.json": ParcelDescription("Wörk", MACHINE, UUID),
    "soulpad-parcel-1-idle.json": ParcelDescription("Wörk", MACHINE, UUID, suspend_when_idle_minutes=90),
    "soulpad-checkpoint-1-suspended.json": SUSPENDED,
    "soulpad-checkpoint-1-history.json": WITH_HISTORY,
    "soulpad-checkpoint-1-disk-only.json": DISK_ONLY,
    "soulpad-live-1.json": LIVE,
    "soulpad-working-set-1.json": WORKING_SET,
}


OPTIONAL = ("format", "parent", "suspended", "suspend_when_idle_minutes", "history")


def sample(name: str) -> tuple[str, bytes]:
    """A sample's format and bytes."""
    content = (SAMPLES / name).read_bytes()
    return str(json.loads(content)["format"]), content


def test_every_stored_sample_is_tried_and_every_format_has_one() -> None:
    assert {path.name for path in SAMPLES.iterdir()} == set(EXPECTED)
    assert {sample(name)[0] for name in EXPECTED} == set(READ)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_stored_document_still_means_what_it_meant(name: str, tmp_path: Path) -> None:
    format_name, content = sample(name)
    assert READ[format_name](content, tmp_path) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_stored_document_is_written_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    format_name, content = sample(name)
    assert WRITE[format_name](EXPECTED[name], tmp_path) == content


@pytest.mark.parametrize("name", EXPECTED)
def test_a_later_version_of_a_document_is_refused_and_not_guessed_at(name: str, tmp_path: Path) -> None:
    format_name, content = sample(name)
    later = json.loads(content) | {"format": format_name.replace("/1", "/2")}
    with pytest.raises(UnknownFormat) as refused:
        READ[format_name](json.dumps(later).encode(), tmp_path)
    assert "/2" in refused.value.message and refused.value.hint


@pytest.mark.parametrize("name", EXPECTED)
def test_a_document_without_one_of_its_fields_is_damaged(name: str, tmp_path: Path) -> None:
    format_name, content = sample(name)
    fields = json.loads(content)
    required = [field for field in fields if field not in OPTIONAL]
    assert required
    for field in required:
        with pytest.raises(StoreDamaged, match=field):
            READ[format_name](json.dumps({**fields, field: None}).encode(), tmp_path)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_document_that_was_cut_off_is_damaged(name: str, share: float, tmp_path: Path) -> None:
    format_name, content = sample(name)
    with pytest.raises(SoulpadError) as refused:
        READ[format_name](content[: int(len(content) * share)], tmp_path)
    assert isinstance(refused.value, StoreDamaged)


@pytest.mark.parametrize("minutes", [0, None])
def test_a_parcel_without_minutes_of_idleness_is_never_suspended_for_it(minutes: int | None) -> None:
    fields = json.loads(sample("soulpad-parcel-1-idle.json")[1])
    content = json.dumps(fields | {"suspend_when_idle_minutes": minutes}).encode()
    assert ParcelDescription.decode(content).suspend_when_idle_minutes is None


@pytest.mark.parametrize("minutes", [-1, 1.5, "30", True])
def test_minutes_of_idleness_that_are_none_are_damage(minutes: object) -> None:
    fields = json.loads(sample("soulpad-parcel-1-idle.json")[1])
    with pytest.raises(StoreDamaged, match="suspend_when_idle_minutes"):
        ParcelDescription.decode(json.dumps(fields | {"suspend_when_idle_minutes": minutes}).encode())


def test_a_suspended_checkpoint_without_its_state_is_damaged() -> None:
    fields = json.loads(sample("soulpad-checkpoint-1-suspended.json")[1])
    with pytest.raises(StoreDamaged, match="kind"):
        CheckpointManifest.decode(json.dumps(fields | {"suspended": None}).encode())
