"""The host's recipe: parsed once, refused by the name of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.host.recipe import HostRecipe, read_host_recipe, read_toml
from builder.places import IMAGES
from soulpad.base.errors import BadInput

RECIPE = """\
name = "host"
elements = ["debian", "live-host"]
firmware = true
compression_level = 15
"""


def recipe_of(folder: Path, text: str) -> HostRecipe:
    path = folder / "host.toml"
    path.write_text(text)
    return read_host_recipe(path)


def test_a_recipe_becomes_a_typed_thing(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, RECIPE) == HostRecipe("host", ("debian", "live-host"), True, 15)


def test_firmware_is_one_element_more(tmp_path: Path) -> None:
    with_firmware = recipe_of(tmp_path, RECIPE)
    without = recipe_of(tmp_path, RECIPE.replace("true", "false"))
    assert without.all_elements == ("debian", "live-host")
    assert with_firmware.all_elements == (*without.all_elements, "live-host-firmware")


@pytest.mark.parametrize("line", RECIPE.splitlines())
def test_a_missing_field_is_named(tmp_path: Path, line: str) -> None:
    name = line.split(" = ")[0]
    with pytest.raises(BadInput, match=f"{name} must be given") as refused:
        recipe_of(tmp_path, RECIPE.replace(f"{line}\n", ""))
    assert refused.value.hint


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"host"', "7", "name"),
        ('["debian", "live-host"]', '"debian"', "elements"),
        ("true", '"yes"', "firmware"),
        ("15", '"15"', "compression_level"),
        ("15", "0", "compression_level must be 1 to 22"),
        ("15", "23", "compression_level must be 1 to 22"),
        ("15\n", "15\nlevel = 3\n", "unknown field 'level'"),
        ("15\n", "15\nname", "is not TOML"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        recipe_of(tmp_path, RECIPE.replace(old, new))


@pytest.mark.parametrize("level", [1, 22])
def test_the_ends_of_zstds_levels_are_levels(tmp_path: Path, level: int) -> None:
    assert recipe_of(tmp_path, RECIPE.replace("15", str(level))).compression_level == level


def test_a_recipe_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no recipe"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is not TOML"):
        read_toml(tmp_path / "bytes.toml")


def test_the_projects_own_recipe_is_one() -> None:
    assert read_host_recipe(IMAGES / "host.toml").elements
