"""What GRUB is told, and what lies on the ESP."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.debian import toolbox
from builder.debian.toolbox import Toolbox
from builder.disk.grubconfig import BASE_KERNEL_ARGUMENTS, bios_embedded_config, esp_files, grub_config, marker_name
from soulpad.base.errors import BadInput

STICK = "0a1b2c3d"


def kernel_lines(config: str) -> list[list[str]]:
    return [line.split() for line in config.splitlines() if line.strip().startswith("linux ")]


def test_both_entries_pass_the_base_arguments_and_the_callers() -> None:
    lines = kernel_lines(grub_config(STICK, "soulpad.host=soulpad-host-a-0a1b2c3d console=ttyS0,115200"))
    assert len(lines) == 2
    for line in lines:
        assert {*BASE_KERNEL_ARGUMENTS, "soulpad.host=soulpad-host-a-0a1b2c3d", "console=ttyS0,115200"} < set(line)
    assert ["nomodeset" in line for line in lines] == [False, True]


def test_it_starts_at_once() -> None:
    config = grub_config(STICK, "")
    assert "set timeout=0\n" in config
    assert "set default=start\n" in config


def test_kernel_and_marker_are_where_the_configuration_looks_for_them(tmp_path: Path) -> None:
    for name in (toolbox.SHIM, toolbox.SIGNED_GRUB, toolbox.MOK_MANAGER):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = grub_config(STICK, "")
    files = esp_files(Toolbox(tmp_path), Path("vmlinuz"), Path("initrd"), b"{}", config, STICK)
    assert all(line[1].removeprefix("/") in files for line in kernel_lines(config))
    assert marker_name(STICK) in files
    assert all(f"--file /{marker_name(STICK)}\n" in text for text in (config, bios_embedded_config(STICK)))
    assert files["boot/grub/grub.cfg"] == config.encode()
    assert files["EFI/BOOT/BOOTX64.EFI"] == tmp_path / toolbox.SHIM
    assert files["EFI/BOOT/grubx64.efi"] == tmp_path / toolbox.SIGNED_GRUB


@pytest.mark.parametrize("arguments", ["a=$b", "a='b'", "a;halt", "a{b}", "a\nb", 'a="b"', "a>b", "a\\b"])
def test_arguments_that_grubs_shell_would_interpret_are_refused(arguments: str) -> None:
    with pytest.raises(BadInput):
        grub_config(STICK, arguments)
