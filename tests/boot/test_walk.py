"""One session wanders from a BIOS PC to a UEFI PC with Secure Boot, and the stick is sound afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.debian.toolbox import toolbox
from builder.disk import partitions
from builder.inspect import inspect
from builder.pc.screen import is_blank
from builder.store.storeimage import open_store
from builder.store.xfs import check_xfs
from builder.store.xfsread import read_file
from demo.walk import PASSPHRASE
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.store.layout import STAGE_LOG

pytestmark = pytest.mark.boot

SECRET = Secret(PASSPHRASE.encode())


def image_of(walked: dict[str, Any]) -> Path:
    return Path(walked["image"])


def partition_copy(image: Path, role: str, target: Path) -> Path:
    """A sparse copy of one partition."""
    part = partitions.read_layout(image).of(role)
    block_bytes = 1 << 20
    run(
        ["dd", f"if={image}", f"of={target}", f"bs={block_bytes}", "conv=sparse", "status=none",
         f"skip={part.offset_bytes // block_bytes}", f"count={part.size_bytes // block_bytes}"]
    )  # fmt: skip
    return target


def test_the_same_session_goes_on_at_the_other_pc(walked: dict[str, Any]) -> None:
    continuity = walked["continuity"]
    assert continuity["boot_id"][0] == continuity["boot_id"][1]
    assert continuity["counter"][1] > continuity["counter"][0] > 0
    assert continuity["memory_pattern_mib"] == 200
    assert continuity["memory_pattern_verified"]
    assert continuity["file_found"]


def test_the_two_pcs_differ_in_all_that_a_session_could_depend_on(walked: dict[str, Any]) -> None:
    first, second = walked["pcs"]
    for fact in ("profile", "firmware", "usb", "cpu", "memory_mib", "display", "nic"):
        assert first[fact] != second[fact], fact
    assert (first["firmware"], first["usb"]) == ("bios", "ehci")
    assert (second["firmware"], second["usb"]) == ("secure-boot", "xhci")


def test_the_pcs_own_disks_are_bit_identical_afterwards(walked: dict[str, Any]) -> None:
    for pc in walked["pcs"]:
        assert pc["internal_disk_sha256"]["before"] == pc["internal_disk_sha256"]["after"]


def test_nothing_of_the_session_is_readable_on_the_raw_stick(walked: dict[str, Any]) -> None:
    assert len(walked["markers"]) == 3
    assert walked["markers_found"] == []


def test_stage_times_are_recorded_and_survive_on_the_stick(walked: dict[str, Any], tmp_path: Path) -> None:
    assert {"firmware and boot loader", "kernel", "initramfs", "host to prompt", "unlock", "VM state load"} <= set(
        walked["stages_seconds"]["resume"]
    )
    assert {"VM stop", "state save", "flush"} <= set(walked["stages_seconds"]["suspend"])
    part = partitions.read_layout(image_of(walked)).of("parcels")
    store = open_store(image_of(walked), part.offset_bytes, part.size_bytes, SECRET, tmp_path)
    entries = [json.loads(line) for line in read_file(store, STAGE_LOG, toolbox().argv).splitlines()]
    assert [entry["kind"] for entry in entries] == ["resume", "suspend", "resume", "suspend"]


def test_the_screens_show_something(walked: dict[str, Any]) -> None:
    pictures = [Path(path) for pc in walked["pcs"] for path in pc["screenshots"]]
    assert len(pictures) >= 6
    assert not any(is_blank(path) for path in pictures)


def test_stock_cryptsetup_and_xfs_repair_accept_the_store(walked: dict[str, Any], tmp_path: Path) -> None:
    copy = partition_copy(image_of(walked), "parcels", tmp_path / "parcels.img")
    run(["cryptsetup", "open", "--test-passphrase", "--type", "luks2", "--key-file", "-", copy], stdin=SECRET.reveal())
    part = partitions.read_layout(image_of(walked)).of("parcels")
    check_xfs(open_store(image_of(walked), part.offset_bytes, part.size_bytes, SECRET, tmp_path), toolbox().argv)


def test_stock_tools_accept_partition_table_and_esp(walked: dict[str, Any], tmp_path: Path) -> None:
    assert "No problems found" in run(["sgdisk", "-v", image_of(walked)]).stdout
    run(["fsck.fat", "-n", partition_copy(image_of(walked), "esp", tmp_path / "esp.img")])


def test_inspect_names_the_parcel_and_its_checkpoints(walked: dict[str, Any]) -> None:
    parcels = inspect(image_of(walked), SECRET).parcels
    assert parcels is not None
    (parcel,) = parcels
    assert parcel.description is not None
    assert parcel.description.name == "demo"
    assert parcel.problems == ()
    made = [checkpoint.manifest.occasion for checkpoint in parcel.checkpoints if checkpoint.manifest]
    beside = made.count("while-running")  # as many as there was time for, of which the newest stays
    assert [occasion for occasion in made if occasion != "while-running"] == ["created", "suspend", "suspend"]
    assert beside <= 1 and made[-1] == "suspend" and parcel.checkpoints[-1].current


def test_what_a_pc_must_have_is_public_as_the_last_session_left_it(walked: dict[str, Any]) -> None:
    found = inspect(image_of(walked), SECRET)
    assert found.parcels is not None and found.description is not None
    last = found.parcels[0].checkpoints[-1].manifest
    assert last and last.suspended
    [public] = found.description.parcels
    assert (public.accelerator, public.vmm) == (last.suspended.accelerator, last.suspended.vmm)
