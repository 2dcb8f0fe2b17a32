"""GRUB for BIOS PCs, written into the image as ``grub-bios-setup`` would, but on a plain file and without root.

Three pieces, from GRUB's sources (2.12):

    boot.img      grub-core/boot/i386/pc/boot.S: the MBR's code, loads one sector
    diskboot.img  grub-core/boot/i386/pc/diskboot.S: core.img's first sector, loads the rest of core.img
    core.img      made by grub-mkimage: kernel, modules and an embedded configuration

What is patched is what util/setup.c patches; the offsets are include/grub/i386/pc/boot.h's.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from builder.debian.toolbox import Toolbox
from soulpad.base.errors import BadInput
from soulpad.base.run import Argument, run
from soulpad.base.units import SECTOR_BYTES, format_bytes, round_up

# What a stick's or a guest's core image needs to find its configuration and start a kernel from it.
COMMON_MODULES = ("biosdisk", "search", "linux", "normal", "configfile", "test", "echo", "sleep", "halt", "reboot")
STICK_MODULES = (
    *COMMON_MODULES,
    "part_gpt", "fat", "search_fs_file",  # the ESP, found by the stick's marker file
    "keystatus", "all_video",             # the menu for those who hold Shift; a frame buffer for nomodeset
    "serial", "terminal",                 # for consoles on a serial line
)  # fmt: skip

_BOOT_CODE_BYTES = 440  # GRUB_BOOT_MACHINE_WINDOWS_NT_MAGIC, 0x1b8: behind it the disk's signature and records
_KERNEL_SECTOR = 0x5C  # GRUB_BOOT_MACHINE_KERNEL_SECTOR: where diskboot.img lies, 64 bits
_DRIVE_CHECK = 0x66  # GRUB_BOOT_MACHINE_DRIVE_CHECK
_TWO_NOPS = b"\x90\x90"

# struct grub_pc_bios_boot_blocklist, the last 12 bytes of diskboot.img's sector: start (64), length in sectors (16),
# segment to load to (16): GRUB_BOOT_MACHINE_KERNEL_SEG 0x800, and one sector further as diskboot.img is there.
_BLOCKLIST = struct.Struct("<QHH")
_BLOCKLIST_OFFSET = SECTOR_BYTES - _BLOCKLIST.size
_LOAD_SEGMENT = 0x800 + (SECTOR_BYTES >> 4)


def install_bios_grub(
    image: Path,
    toolbox: Toolbox,
    embedded_config: str,
    *,
    core_offset_bytes: int,
    core_room_bytes: int,
    modules: Sequence[str] = STICK_MODULES,
) -> None:
    """Makes a disk boot on BIOS PCs.

    The core image goes to ``core_offset_bytes``: a GPT disk's BIOS boot partition, or 512 on a disk with an MBR
    whose first partition begins at 1 MiB. ``embedded_config`` runs first and must find ``$root`` and load the rest.
    Raises BadInput when the core image is larger than ``core_room_bytes``. The partition table stays as it is.
    """
    core = core_image(toolbox, embedded_config, modules)
    first_sector = core_offset_bytes // SECTOR_BYTES
    if len(core) > core_room_bytes:
        raise BadInput(
            f"GRUB's core image of {format_bytes(len(core))} does not fit into {format_bytes(core_room_bytes)}",
            "leave out modules, or make the BIOS boot partition larger",
        )
    boot = (toolbox.grub_modules / "boot.img").read_bytes()
    descriptor = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, placed_core(core, first_sector), core_offset_bytes)
        os.pwrite(descriptor, boot_code(boot, first_sector), 0)
    finally:
        os.close(descriptor)


def core_image(toolbox: Toolbox, embedded_config: str, modules: Sequence[str] = STICK_MODULES) -> bytes:
    """A core image, not yet tied to a place on a disk."""
    with tempfile.TemporaryDirectory(prefix="soulpad-grub-") as work:
        config, core = Path(work) / "grub.cfg", Path(work) / "core.img"
        config.write_text(embedded_config)
        target: list[Argument] = ["--format", "i386-pc", "--directory", toolbox.grub_modules, "--prefix", "/boot/grub"]
        run(toolbox.argv("grub-mkimage", *target, "--config", config, "--output", core, *modules))
        return core.read_bytes()


def placed_core(core: bytes, first_sector: int) -> bytes:
    """``core`` in whole sectors, its block list saying that it lies in one piece from ``first_sector`` on."""
    placed = bytearray(core.ljust(round_up(len(core), SECTOR_BYTES), b"\0"))
    rest_sectors = len(placed) // SECTOR_BYTES - 1
    _BLOCKLIST.pack_into(placed, _BLOCKLIST_OFFSET, first_sector + 1, rest_sectors, _LOAD_SEGMENT)
    return bytes(placed)


def boot_code(boot: bytes, first_sector: int) -> bytes:
    """The MBR's first 440 bytes: ``boot`` (boot.img) told where the core image begins.

    The jump at the drive check becomes two no-operations, as setup.c does for every hard disk: some BIOSes
    pass a wrong drive number, and boot.S then corrects it.
    """
    code = bytearray(boot[:_BOOT_CODE_BYTES])
    struct.pack_into("<Q", code, _KERNEL_SECTOR, first_sector)
    code[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _TWO_NOPS
    return bytes(code)
