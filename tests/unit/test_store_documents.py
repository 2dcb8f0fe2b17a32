"""Documents, parcels' descriptions, paths and partition names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulpad.base.errors import BadInput, StoreDamaged, UnknownFormat
from soulpad.store import document
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import Disk, Machine, ParcelDescription, check_name, random_mac_address
from soulpad.store.stick import ROLES, ParcelRequirement, StickDescription, partition_name, role_of

FORMAT = "soulpad-example/1"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def reader(**fields: Any) -> document.Reader:
    return document.decode(document.encode(FORMAT, fields), FORMAT, "example.json")


def test_a_document_begins_with_its_format_and_ends_with_a_line_end() -> None:
    content = document.encode(FORMAT, {"name": "é"})
    assert list(json.loads(content)) == ["format", "name"]
    assert content.endswith(b"}\n")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"7", b"{}", b'{"format": 1}', b'{"format": null}'])
def test_what_is_no_document_is_damaged_and_named(content: bytes) -> None:
    with pytest.raises(StoreDamaged, match=r"example\.json is damaged"):
        document.decode(content, FORMAT, "example.json")


@pytest.mark.parametrize("name", ["soulpad-example/2", "soulpad-example/10", "soulpad-other/1", "soulpad-example"])
def test_another_format_is_named_together_with_what_is_known(name: str) -> None:
    with pytest.raises(UnknownFormat) as refused:
        document.decode(document.encode(name, {}), FORMAT, "example.json")
    assert repr(name) in refused.value.message and FORMAT in refused.value.message and refused.value.hint


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match=f"example.json is missing in {re.escape(tmp_path.name)}"):
        document.read(tmp_path / "example.json", FORMAT)


def test_fields_are_given_in_their_types() -> None:
    fields = reader(name="a", count=3, nothing=None, part={"count": 4}, parts=[{"count": 5}, {"count": 6}])
    assert (fields.text("name"), fields.count("count"), fields.part("part").count("count")) == ("a", 3, 4)
    assert fields.optional_count("nothing") is None
    assert (fields.optional_text("nothing"), fields.optional_text("name")) == (None, "a")
    assert fields.optional_part("absent") is None
    assert [item.count("count") for item in fields.parts("parts")] == [5, 6]


@pytest.mark.parametrize("value", [None, True, -1, 1.0, "3", [], {}])
def test_a_count_is_a_whole_number_that_is_not_negative(value: Any) -> None:
    with pytest.raises(StoreDamaged, match="'count'"):
        reader(count=value).count("count")


def test_a_damaged_field_is_found_by_its_path() -> None:
    with pytest.raises(StoreDamaged, match=re.escape("example.json: disks[1] is damaged: 'size' is not")):
        reader(disks=[{"size": 1}, {"size": "x"}]).parts("disks")[1].count("size")


@given(JSON_VALUES)
def test_any_value_in_any_field_is_taken_or_refused_as_damage(value: Any) -> None:
    for take in ("text", "count", "optional_count", "part", "optional_part", "parts"):
        try:
            getattr(reader(field=value), take)("field")
        except StoreDamaged as error:
            assert error.hint


@given(JSON_VALUES)
def test_a_parcel_description_with_any_machine_is_a_refusal(value: Any) -> None:
    content = document.encode("soulpad-parcel/1", {"uuid": "u", "name": "n", "machine": value})
    with pytest.raises(StoreDamaged):
        ParcelDescription.decode(content)


def test_a_parcel_description_is_read_back() -> None:
    machine = Machine(512, (Disk("disk-0.img", 1024, "sata"),), vcpus=3, sound="ich9", mac_address="52:54:00:1:2:3")
    description = ParcelDescription("Arbeit – ü", machine)
    assert ParcelDescription.decode(description.encode()) == description


def test_two_parcels_have_different_uuids_and_addresses() -> None:
    assert ParcelDescription("a", Machine(1, ())).uuid != ParcelDescription("a", Machine(1, ())).uuid
    addresses = {random_mac_address() for _ in range(20)}
    assert len(addresses) > 15
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", address) for address in addresses)


@pytest.mark.parametrize("name", ["w", "x" * 40, "Über uns", "a/b", "日本"])
def test_a_printable_line_can_be_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 41, " a", "a ", "a\nb", "a\tb", "\x1b[31m", "\u202e", " "])
def test_what_would_spoil_a_screen_cannot_be_a_name(name: str) -> None:
    with pytest.raises(BadInput):
        check_name(name)


def test_everything_of_a_parcel_lies_in_its_own_folder() -> None:
    paths = ParcelPaths(Path("/store"), "u")
    below = [paths.description, paths.checkpoint(7), paths.live, paths.live_session, paths.current]
    assert all(path.is_relative_to(paths.folder) for path in below) and len(set(below)) == len(below)
    assert paths.checkpoint(7) == Path("/store/parcels/u/checkpoints/7")


def test_a_partitions_role_is_read_from_its_name() -> None:
    assert [role_of(partition_name(role, "0badcafe")) for role in ROLES] == list(ROLES)
    for name in ("", "soulpad", "soulpad-", "soulpad-home-1", "EFI System", "xsoulpad-esp-1"):
        assert role_of(name) is None


def test_a_stick_description_is_read_back_and_a_broken_one_refused() -> None:
    stick = StickDescription("0badcafe", "0.1", "de", (ParcelRequirement("u", "Nehalem-v1", 512, "any"),))
    assert StickDescription.decode(stick.encode()) == stick
    with pytest.raises(StoreDamaged):
        StickDescription.decode(stick.encode().replace(b"512", b'"512"'))
