"""A whole stick image put together from real parts, and looked at with other people's tools."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.debian import toolbox as tools
from builder.debian.toolbox import BUILD, Toolbox, toolbox
from builder.disk.bootsector import COMMON_MODULES, core_image, install_bios_grub
from builder.disk.esp import put_esp_files, read_esp_file, write_esp
from builder.disk.grubconfig import bios_embedded_config, esp_files, grub_config, marker_name
from builder.disk.partitions import Layout, Partition, grown, plan, read_layout, relabel, write_table
from soulpad.base.errors import BadImage, BadInput, ProgramFailed
from soulpad.base.run import run
from soulpad.base.units import MIB
from soulpad.store.stick import DESCRIPTION_NAME, ESP_LABEL, StickDescription

pytestmark = pytest.mark.component

STICK = "0a1b2c3d"
KERNEL = b"MZ" + bytes(range(256)) * 20_000
INITRD = b"070701" + os.urandom(3_000_000)
DESCRIPTION = StickDescription(stick_id=STICK, host_version="13.0", keyboard="us", parcels=()).encode()


@dataclass(frozen=True)
class Stick:
    image: Path
    layout: Layout
    files: dict[str, bytes | Path]


@pytest.fixture(scope="module")
def box() -> Toolbox:
    return toolbox()


@pytest.fixture(scope="module")
def assembled(box: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Stick:
    folder = tmp_path_factory.mktemp("stick")
    (folder / "vmlinuz").write_bytes(KERNEL)
    (folder / "initrd").write_bytes(INITRD)
    image = folder / "stick.img"
    layout = plan(600 * MIB, 50 * MIB, STICK, esp_bytes=64 * MIB, host_slot_bytes=60 * MIB)
    write_table(image, layout)
    config = grub_config(STICK, f"soulpad.host={layout.of('host-a').name}")
    files = esp_files(box, folder / "vmlinuz", folder / "initrd", DESCRIPTION, config, STICK)
    write_esp(image, layout.of("esp"), ESP_LABEL, files)
    bios = layout.of("bios")
    embedded = bios_embedded_config(STICK)
    install_bios_grub(image, box, embedded, core_offset_bytes=bios.offset_bytes, core_room_bytes=bios.size_bytes)
    return Stick(image, layout, files)


@pytest.fixture
def stick(assembled: Stick, tmp_path: Path) -> Stick:
    """A copy that a test may spoil."""
    copy = tmp_path / "copy.img"
    run(["cp", "--sparse=always", assembled.image, copy])
    return replace(assembled, image=copy)


def extracted(image: Path, partition: Partition, target: Path) -> Path:
    place = ["bs=1M", f"skip={partition.offset_bytes // MIB}", f"count={partition.size_bytes // MIB}"]
    run(["dd", f"if={image}", f"of={target}", *place, "conv=sparse"])
    return target


@contextmanager
def loop_device(image: Path, sector_bytes: int) -> Iterator[Path]:
    """A loop device of another sector size, or a skipped test where there is none to be had."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    arguments = ["--find", "--show", "--partscan", "--sector-size", str(sector_bytes)]
    try:
        device = run(["losetup", *arguments, image]).stdout.strip()
    except ProgramFailed as error:
        pytest.skip(f"no loop device: {error}")
    try:
        yield Path(device)
    finally:
        run(["losetup", "--detach", device])


def sfdisk_partitions(path: Path) -> list[tuple[str, str, str, int, int]]:
    """Name, type, uuid, offset and size in bytes, as sfdisk sees them."""
    table = json.loads(run(["sfdisk", "--json", path]).stdout)["partitiontable"]
    unit = int(table.get("sectorsize", 512))
    return [
        (entry["name"], entry["type"], entry["uuid"], entry["start"] * unit, entry["size"] * unit)
        for entry in table["partitions"]
    ]


def as_planned(layout: Layout) -> list[tuple[str, str, str, int, int]]:
    return [
        (p.name, str(p.type_guid).upper(), str(p.uuid).upper(), p.offset_bytes, p.size_bytes) for p in layout.partitions
    ]


def test_every_program_of_the_toolbox_runs_here(box: Toolbox) -> None:
    versions = {program: run(box.argv(program, "-V")) for program in dict(BUILD.programs)}
    assert all("6.13" in said.stdout + said.stderr for name, said in versions.items() if "xfs" in name)
    assert all("2.12" in said.stdout + said.stderr for name, said in versions.items() if "grub" in name)


def test_an_xfs_made_by_the_toolbox_is_sound_to_its_own_checker(box: Toolbox, tmp_path: Path) -> None:
    image = tmp_path / "store.img"
    image.touch()
    os.truncate(image, 320 * MIB)
    run(box.argv("mkfs.xfs", "-q", "-s", "size=4096", "-m", "reflink=1", image))
    run(box.argv("xfs_repair", "-n", "-f", image))
    assert "versionnum" in run(box.argv("xfs_db", "-r", "-c", "sb 0", "-c", "p versionnum", image)).stdout


def test_a_failing_program_of_the_toolbox_is_named(box: Toolbox, tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed) as failed:
        run(box.argv("mkfs.xfs", tmp_path / "none.img"))
    assert failed.value.message.startswith("mkfs.xfs ended with")


def test_sgdisk_finds_no_fault_in_the_table(assembled: Stick) -> None:
    assert "No problems found" in run(["sgdisk", "--verify", assembled.image]).stdout


def test_sfdisk_sees_the_partitions_that_were_planned(assembled: Stick) -> None:
    assert sfdisk_partitions(assembled.image) == as_planned(assembled.layout)
    assert read_layout(assembled.image) == assembled.layout


def test_the_whole_image_is_sparse(assembled: Stick) -> None:
    assert assembled.image.stat().st_blocks * 512 < 40 * MIB


def test_the_esp_is_sound_fat32_with_its_label(assembled: Stick, tmp_path: Path) -> None:
    esp = extracted(assembled.image, assembled.layout.of("esp"), tmp_path / "esp.img")
    run(["fsck.fat", "-n", esp])
    probed = run(["blkid", "--probe", "--output", "export", esp]).stdout.splitlines()
    assert {"TYPE=vfat", "VERSION=FAT32", f"LABEL={ESP_LABEL}"} <= set(probed)


def test_every_file_of_the_esp_is_read_back_as_it_was_given(assembled: Stick) -> None:
    esp = assembled.layout.of("esp")
    for name, content in assembled.files.items():
        given = content.read_bytes() if isinstance(content, Path) else content
        assert read_esp_file(assembled.image, esp, name) == given, name
    assert StickDescription.decode(read_esp_file(assembled.image, esp, DESCRIPTION_NAME)).stick_id == STICK


def test_mdir_lists_what_firmware_looks_for(assembled: Stick) -> None:
    place = f"{assembled.image}@@{assembled.layout.of('esp').offset_bytes}"
    listed = run(["mdir", "-b", "-/", "-i", place, "::"]).stdout.split()
    wanted = ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "boot/grub/grub.cfg", marker_name(STICK))
    assert {f"::/{name}" for name in wanted} <= set(listed)


def test_a_file_of_the_esp_is_replaced_and_the_others_stay(stick: Stick, tmp_path: Path) -> None:
    esp = stick.layout.of("esp")
    put_esp_files(stick.image, esp, {DESCRIPTION_NAME: b"new", "EFI/BOOT/note": b"beside"})
    assert read_esp_file(stick.image, esp, DESCRIPTION_NAME) == b"new"
    assert read_esp_file(stick.image, esp, "boot/vmlinuz") == KERNEL
    run(["fsck.fat", "-n", extracted(stick.image, esp, tmp_path / "esp.img")])


def test_a_missing_file_of_the_esp_is_named(assembled: Stick) -> None:
    with pytest.raises(BadImage) as missing:
        read_esp_file(assembled.image, assembled.layout.of("esp"), "boot/none")
    assert "boot/none" in missing.value.message


def test_grub_understands_its_configurations(box: Toolbox, tmp_path: Path) -> None:
    for number, config in enumerate((grub_config(STICK, "a=b"), bios_embedded_config(STICK))):
        (tmp_path / str(number)).write_text(config)
        run(box.argv("grub-script-check", tmp_path / str(number)))


def test_the_boot_sector_leads_to_the_core_image_and_the_table_is_still_sound(assembled: Stick, box: Toolbox) -> None:
    bios = assembled.layout.of("bios")
    core = core_image(box, bios_embedded_config(STICK))
    with assembled.image.open("rb") as disk:
        mbr = os.pread(disk.fileno(), 512, 0)
        placed = os.pread(disk.fileno(), len(core), bios.offset_bytes)
    (core_sector,) = struct.unpack_from("<Q", mbr, 0x5C)
    assert core_sector * 512 == bios.offset_bytes
    assert placed[512:] == core[512:]
    assert mbr[510:] == b"\x55\xaa"
    assert mbr[450] == 0xEE


def test_a_guests_mbr_disk_gets_grub_between_table_and_first_partition(box: Toolbox, tmp_path: Path) -> None:
    disk = tmp_path / "guest.img"
    disk.touch()
    os.truncate(disk, 16 * MIB)
    run(["sfdisk", "-q", disk], stdin=b"label: dos\nstart=2048, type=83, bootable\n")
    before = run(["sfdisk", "--dump", disk]).stdout
    modules = (*COMMON_MODULES, "part_msdos", "ext2")
    embedded = "set root=hd0,msdos1\nset prefix=($root)/boot/grub\nnormal\n"
    room = MIB - 512
    install_bios_grub(disk, box, embedded, core_offset_bytes=512, core_room_bytes=room, modules=modules)
    assert run(["sfdisk", "--dump", disk]).stdout == before
    with pytest.raises(BadInput):
        install_bios_grub(disk, box, embedded, core_offset_bytes=512, core_room_bytes=20_000, modules=modules)


def test_a_grown_stick_is_sound_to_sgdisk_and_keeps_its_files(stick: Stick) -> None:
    larger = grown(stick.layout, 900 * MIB)
    os.truncate(stick.image, larger.total_bytes)
    relabel(stick.image, larger, sector_bytes=512)
    assert "No problems found" in run(["sgdisk", "--verify", stick.image]).stdout
    assert sfdisk_partitions(stick.image) == as_planned(larger)
    assert read_esp_file(stick.image, larger.of("esp"), "boot/initrd.img") == INITRD


def test_a_stick_with_4096_byte_sectors_sees_its_relabelled_table(stick: Stick) -> None:
    relabel(stick.image, stick.layout, sector_bytes=4096)
    with loop_device(stick.image, sector_bytes=4096) as device:
        assert "No problems found" in run(["sgdisk", "--verify", device]).stdout
        assert sfdisk_partitions(device) == as_planned(stick.layout)


def test_an_esp_of_4096_byte_sectors_is_sound_fat32(tmp_path: Path) -> None:
    image = tmp_path / "stick.img"
    layout = plan(1200 * MIB, 50 * MIB, STICK, host_slot_bytes=60 * MIB)
    write_table(image, layout)
    write_esp(image, layout.of("esp"), ESP_LABEL, {"soulpad.json": DESCRIPTION}, sector_bytes=4096)
    esp = extracted(image, layout.of("esp"), tmp_path / "esp.img")
    run(["fsck.fat", "-n", esp])
    assert "VERSION=FAT32" in run(["blkid", "--probe", "--output", "export", esp]).stdout.splitlines()
    assert read_esp_file(image, layout.of("esp"), "soulpad.json") == DESCRIPTION


def test_the_signed_grub_has_the_commands_that_the_configuration_uses(box: Toolbox) -> None:
    signed = box.path(tools.SIGNED_GRUB).read_bytes()
    used = ("search_fs_file", "part_gpt", "fat", "keystatus", "linux", "echo", "test", "halt", "configfile", "normal")
    # A module's ELF section .modname holds its name between zeros.
    assert [name for name in used if f"\0{name}\0".encode() not in signed] == []
