"""A guest's disk: what its recipe may say, and the few bytes that make it boot."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from builder.debian.toolbox import Toolbox
from builder.guest.disk import (
    GRUB_MODULES,
    embedded_config,
    guest_key,
    machine_id,
    mbr_table,
    ordinary_config,
    settings_file,
)
from builder.guest.recipe import GuestRecipe, read_guest_recipe
from builder.places import IMAGES
from soulpad.base.errors import BadInput
from soulpad.base.units import GIB, MIB

KEY = "00112233445566ff"
RECIPE = """\
name = "demo"
elements = ["demo-guest"]
disk_size = "1GiB"
memory_mib = 512
[settings]
pattern_mib = 200
verify_mib_per_second = 4
marker_in_memory = "MARKER-M"
marker_on_disk = "MARKER-D"
"""
SETTINGS = (
    ("pattern_mib", "200"),
    ("verify_mib_per_second", "4"),
    ("marker_in_memory", "MARKER-M"),
    ("marker_on_disk", "MARKER-D"),
)


def recipe_of(folder: Path, text: str) -> GuestRecipe:
    path = folder / "guest.toml"
    path.write_text(text)
    return read_guest_recipe(path)


def test_a_recipe_becomes_a_typed_thing(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, RECIPE) == GuestRecipe("demo", ("demo-guest",), GIB, 512, SETTINGS)


def test_a_guest_that_is_no_demonstration_has_no_settings(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, RECIPE.split("[settings]")[0]).settings == ()
    desktop = read_guest_recipe(IMAGES / "guest-desktop.toml")
    assert desktop.settings == () and desktop.memory_mib >= GIB // MIB


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "demo"\n', "", "name"),
        ('"demo-guest"', "", "elements"),
        ('"demo-guest"', "7", "elements"),
        ('name = "demo"', 'name = "../demo"', "name"),
        ('"1GiB"', '"much"', "not a size"),
        ('"1GiB"', '"100MiB"', "disk_size"),
        ('"1GiB"', '"1000000001"', "disk_size"),
        ("512", "300", "do not fit"),
        ("512", "true", "memory_mib"),
        ("200", '"200"', "pattern_mib"),
        ("200", "-1", "pattern_mib"),
        ("[settings]\n", "[settings]\npatern_mib = 7\n", "patern_mib"),
        ("verify_mib_per_second = 4\n", "", "verify_mib_per_second"),
        ("memory_mib", "color", "memory_mib"),
        ('"MARKER-D"', f'"{"M" * 121}"', "marker_on_disk"),
        ('"MARKER-D"', '"a\\nb"', "marker_on_disk"),
        ('"MARKER-D"', "'ü'", "marker_on_disk"),
        ("[settings]", "[settings", "not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_naming_what_is_wrong(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in RECIPE
    with pytest.raises(BadInput, match=named):
        recipe_of(tmp_path, RECIPE.replace(old, new, 1))


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no recipe"):
        read_guest_recipe(tmp_path / "none.toml")


def test_the_projects_own_recipe_has_two_markers_that_tell_memory_from_disk() -> None:
    values = dict(read_guest_recipe(IMAGES / "guest-demo.toml").settings)
    markers = {values["marker_in_memory"], values["marker_on_disk"]}
    assert len(markers) == 2
    assert all(marker.startswith("SOUL-MARKER-") for marker in markers)


def test_the_key_changes_with_the_recipe_the_root_and_the_boot_loader(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, RECIPE)
    tools, others = Toolbox(tmp_path / "trixie-1"), Toolbox(tmp_path / "trixie-2")
    root = tmp_path / "guest-demo-1.tar"
    keys = [
        guest_key(recipe, root, tools),
        guest_key(replace(recipe, disk_bytes=2 * GIB), root, tools),
        guest_key(replace(recipe, settings=(("pattern_mib", "100"), *SETTINGS[1:])), root, tools),
        guest_key(recipe, tmp_path / "guest-demo-2.tar", tools),
        guest_key(recipe, root, others),
    ]
    assert len(set(keys)) == len(keys)
    assert guest_key(recipe, root, tools) == keys[0]


def test_the_settings_file_is_what_the_program_parses(tmp_path: Path) -> None:
    assert settings_file(recipe_of(tmp_path, RECIPE)).startswith("pattern_mib = 200\nverify_mib")


def test_the_partition_begins_at_one_mib_and_ends_with_the_disk() -> None:
    table = mbr_table(GIB, KEY)
    assert len(table) == 512 - 440
    assert table[:4] == bytes.fromhex(KEY[:8])
    assert table[-2:] == b"\x55\xaa"
    status, kind, first, count = struct.unpack("<B3xB3xII", table[6:22])
    assert (status, kind) == (0x80, 0x83)
    assert first * 512 == MIB
    assert (first + count) * 512 == GIB
    assert table[22:70] == bytes(48)


def test_the_boot_loader_starts_the_kernel_without_a_menu() -> None:
    lines = embedded_config("6.12.1-amd64").splitlines()
    assert [line.split()[0] for line in lines] == ["search", "linux", "initrd", "boot"]
    assert "/boot/vmlinuz-6.12.1-amd64 root=/dev/vda1 " in lines[1]
    assert lines[2].split()[1] == "/boot/initrd.img-6.12.1-amd64"
    assert {"part_msdos", "ext2", "search", "linux"} <= set(GRUB_MODULES)


def test_the_last_console_is_the_screen_and_the_serial_port_hears_of_a_panic() -> None:
    words = embedded_config("6.12.1-amd64").split()
    assert [word for word in words if word.startswith("console=")] == ["console=ttyS0", "console=tty1"]
    assert {"quiet", "loglevel=3"} <= set(words)


def test_a_guest_that_updates_its_kernel_is_started_by_the_links_that_debian_moves() -> None:
    _search, linux, initrd, _boot = ordinary_config().splitlines()
    assert linux.startswith("linux /vmlinuz root=/dev/vda1 ")
    assert initrd == "initrd /initrd.img"
    assert "mitigations=off" not in linux


def test_every_disk_has_a_machine_id_of_its_own() -> None:
    assert machine_id(KEY) != machine_id(KEY[::-1])
    assert len(machine_id(KEY)) == 32
    assert int(machine_id(KEY), 16)
