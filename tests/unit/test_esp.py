"""The ESP's decisions: cluster size, folders, the command that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.disk.esp import cluster_sectors, folders_of, format_argv
from builder.disk.partitions import ESP_BYTES, plan
from soulpad.base.errors import BadInput
from soulpad.base.units import GIB, MIB

FAT32_LEAST_CLUSTERS = 65525


@pytest.mark.parametrize("sector_bytes", [512, 4096])
@pytest.mark.parametrize("size_mib", [300, 512, 1024])
def test_every_size_has_clusters_enough_for_fat32_after_the_fats_are_taken(size_mib: int, sector_bytes: int) -> None:
    cluster_bytes = cluster_sectors(size_mib * MIB, sector_bytes) * sector_bytes
    fats_bytes = 2 * 4 * (size_mib * MIB // cluster_bytes) + 64 * sector_bytes
    assert (size_mib * MIB - fats_bytes) // cluster_bytes >= FAT32_LEAST_CLUSTERS


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_the_usual_esp_can_be_fat32_on_every_disk(sector_bytes: int) -> None:
    assert cluster_sectors(ESP_BYTES, sector_bytes) >= 1


def test_large_partitions_get_large_clusters() -> None:
    assert cluster_sectors(GIB, 512) * 512 == 4096


@pytest.mark.parametrize(("size_bytes", "sector_bytes"), [(32 * MIB, 512), (256 * MIB, 4096)])
def test_a_partition_too_small_for_fat32_is_refused(size_bytes: int, sector_bytes: int) -> None:
    with pytest.raises(BadInput):
        cluster_sectors(size_bytes, sector_bytes)


def test_parent_folders_come_first_and_once() -> None:
    files = ["EFI/BOOT/BOOTX64.EFI", "EFI/debian/grub.cfg", "boot/grub/grub.cfg", "boot/vmlinuz", "soulpad.json"]
    assert folders_of(files) == ["EFI", "boot", "EFI/BOOT", "EFI/debian", "boot/grub"]


def test_the_file_system_fills_the_partition_and_no_more() -> None:
    esp = plan(8 * GIB, 300 * MIB, "0a1b2c3d").of("esp")
    argv = format_argv(Path("stick.img"), esp, "SOULPAD")
    assert argv[argv.index("-i") + 1] == f"stick.img@@{esp.offset_bytes}"
    assert int(argv[argv.index("-T") + 1]) * 512 == esp.size_bytes
