"""GRUB's block list and boot code, patched as grub-bios-setup patches them."""

from __future__ import annotations

import struct

from builder.disk.bootsector import boot_code, placed_core


def test_the_core_image_is_in_whole_sectors_and_says_where_its_rest_lies() -> None:
    core = placed_core(b"\x01" * (3 * 512 + 1), first_sector=2048)
    assert len(core) == 4 * 512
    assert struct.unpack("<QHH", core[500:512]) == (2049, 3, 0x820)
    assert core[512:1024] == b"\x01" * 512


def test_the_boot_code_finds_the_core_image_and_leaves_the_partition_table_alone() -> None:
    code = boot_code(b"\x22" * 512, first_sector=0x1_0000_0001)
    assert len(code) == 440
    assert code[0x5C:0x64] == (0x1_0000_0001).to_bytes(8, "little")
    assert code[0x66:0x68] == b"\x90\x90"
    assert set(code[:0x5C] + code[0x64:0x66] + code[0x68:]) == {0x22}
