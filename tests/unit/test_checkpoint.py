"""A checkpoint's manifest: what it says, and that nothing but its own whole files pass for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulpad.base.errors import CannotResume, StoreDamaged, UnknownFormat
from soulpad.store import checkpoint
from soulpad.store.checkpoint import CheckpointManifest, SuspendedState, expected_files, sha256_of, verified
from soulpad.store.parcel import Disk, Machine

STATE = b"device state"
MACHINE = Machine(memory_mib=256, disks=(Disk("disk-0.img", 512), Disk("disk-1.img", 1024, "sata")))
SUSPENDED = CheckpointManifest(
    generation=3,
    parent=2,
    taken_at=1763700000,
    disk_bytes=(512, 1024),
    suspended=SuspendedState(4096, len(STATE), hashlib.sha256(STATE).hexdigest(), "kvm", "QEMU 10.0.13", MACHINE),
)
DISK_ONLY = CheckpointManifest(generation=0, parent=None, taken_at=1763600000, disk_bytes=(512,))


def lay(folder: Path, manifest: CheckpointManifest) -> Path:
    for name, size_bytes in expected_files(manifest).items():
        (folder / name).write_bytes(STATE if name == checkpoint.DEVICE_STATE_NAME else bytes(size_bytes))
    (folder / checkpoint.MANIFEST_NAME).write_bytes(manifest.encode())
    return folder


def changed(manifest: CheckpointManifest, **fields: Any) -> bytes:
    return json.dumps(json.loads(manifest.encode()) | fields).encode()


@pytest.mark.parametrize("manifest", [SUSPENDED, DISK_ONLY])
def test_a_whole_checkpoint_is_given_back_as_its_manifest(tmp_path: Path, manifest: CheckpointManifest) -> None:
    assert verified(lay(tmp_path, manifest), manifest.generation) == manifest


def test_the_kind_follows_from_what_is_there() -> None:
    assert (SUSPENDED.kind, DISK_ONLY.kind) == ("suspended", "disk-only")


def test_a_disk_only_checkpoint_needs_neither_ram_nor_device_state() -> None:
    assert set(expected_files(DISK_ONLY)) == {"disk-0.img"}
    assert expected_files(SUSPENDED) == {"disk-0.img": 512, "disk-1.img": 1024, "ram.img": 4096, "device-state": 12}


@pytest.mark.parametrize("name", sorted(expected_files(SUSPENDED)))
def test_any_file_that_is_missing_longer_or_shorter_is_named(tmp_path: Path, name: str) -> None:
    path = lay(tmp_path, SUSPENDED) / name
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"\0", b""):
        path.write_bytes(content)
        with pytest.raises(CannotResume, match=f"{name} has {len(content)} bytes"):
            verified(tmp_path, 3)
    path.unlink()
    with pytest.raises(CannotResume, match=f"{name} is missing"):
        verified(tmp_path, 3)


@pytest.mark.parametrize("bit", range(8))
def test_any_flipped_bit_of_the_device_state_is_noticed(tmp_path: Path, bit: int) -> None:
    path = lay(tmp_path, SUSPENDED) / checkpoint.DEVICE_STATE_NAME
    path.write_bytes(STATE[:5] + bytes([STATE[5] ^ 1 << bit]) + STATE[6:])
    with pytest.raises(CannotResume, match="not what was saved"):
        verified(tmp_path, 3)


def test_the_manifest_of_another_generation_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, SUSPENDED)
    with pytest.raises(CannotResume, match="checkpoint 4 holds the manifest of 3"):
        verified(tmp_path, 4)


def test_a_folder_without_a_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    (lay(tmp_path, SUSPENDED) / checkpoint.MANIFEST_NAME).unlink()
    with pytest.raises(CannotResume, match=r"has no checkpoint\.json"):
        verified(tmp_path, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"generation": -1},
        {"generation": True},
        {"generation": "3"},
        {"generation": None},
        {"parent": 1.5},
        {"taken_at": None},
        {"kind": "disk-only"},
        {"kind": "running"},
        {"kind": None},
        {"disks": {}},
        {"disks": ["disk-0.img"]},
        {"disks": [{"file": "disk-0.img"}]},
        {"suspended": None},
        {"suspended": []},
        {"suspended": {}},
    ],
)
def test_a_manifest_with_a_wrong_field_is_damaged(fields: dict[str, Any]) -> None:
    with pytest.raises(StoreDamaged, match=r"checkpoint\.json"):
        CheckpointManifest.decode(changed(SUSPENDED, **fields))


def test_a_later_format_is_unknown_not_damaged() -> None:
    with pytest.raises(UnknownFormat):
        CheckpointManifest.decode(changed(SUSPENDED, format="soulpad-checkpoint/2"))


def test_a_file_name_in_the_manifest_cannot_lead_out_of_the_folder() -> None:
    content = changed(SUSPENDED, disks=[{"file": "../../etc/shadow", "size_bytes": 512}])
    assert set(expected_files(CheckpointManifest.decode(content))) == {"disk-0.img", "ram.img", "device-state"}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_refusal(content: bytes) -> None:
    with pytest.raises((StoreDamaged, UnknownFormat)):
        CheckpointManifest.decode(content)


@given(st.integers(0, 700))
def test_a_manifest_cut_short_is_never_taken_for_one(cut: int) -> None:
    whole = SUSPENDED.encode()
    with pytest.raises(StoreDamaged):
        CheckpointManifest.decode(whole[: min(cut, len(whole) - 3)])


@given(
    st.integers(0, 10**6),
    st.none() | st.integers(0, 10**6),
    st.lists(st.integers(0, 1 << 50), max_size=5),
)
def test_what_is_written_is_read_back(generation: int, parent: int | None, sizes: list[int]) -> None:
    manifest = replace(SUSPENDED, generation=generation, parent=parent, disk_bytes=tuple(sizes))
    assert CheckpointManifest.decode(manifest.encode()) == manifest
    without = replace(manifest, suspended=None)
    assert CheckpointManifest.decode(without.encode()) == without


def test_the_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea")
