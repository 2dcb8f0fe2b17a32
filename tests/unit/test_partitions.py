"""The stick's partition table: planned, written, read back and grown, on sparse files."""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.disk import gpt
from builder.disk.partitions import (
    BACKUP_BYTES,
    LEAST_PARCELS_BYTES,
    Layout,
    grown,
    least_total_bytes,
    plan,
    read_layout,
    relabel,
    write_table,
)
from soulpad.base.errors import BadImage, BadInput, DeviceTooSmall
from soulpad.base.units import GIB, MIB
from soulpad.store.stick import ROLES, partition_name

STICK = "0a1b2c3d"


def small(total_bytes: int = 600 * MIB) -> Layout:
    return plan(total_bytes, 50 * MIB, STICK, esp_bytes=64 * MIB, host_slot_bytes=60 * MIB)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "stick.img"
    write_table(path, small())
    return path


@given(
    host_image_bytes=st.integers(1, 3 * GIB),
    esp_bytes=st.integers(34 * MIB, GIB),
    surplus_bytes=st.integers(0, 64 * GIB),
)
def test_any_plan_is_aligned_in_order_without_overlap_and_leaves_room_for_the_backup_table(
    host_image_bytes: int, esp_bytes: int, surplus_bytes: int
) -> None:
    total_bytes = least_total_bytes(host_image_bytes, esp_bytes=esp_bytes) + surplus_bytes
    layout = plan(total_bytes, host_image_bytes, STICK, esp_bytes=esp_bytes)
    assert tuple(partition.role for partition in layout.partitions) == ROLES
    assert all(before.end_bytes <= after.offset_bytes for before, after in pairwise(layout.partitions))
    assert all(p.offset_bytes % MIB == 0 and p.size_bytes % MIB == 0 for p in layout.partitions)
    assert layout.of("parcels").offset_bytes % (4 * MIB) == 0
    assert layout.of("parcels").size_bytes >= LEAST_PARCELS_BYTES
    assert layout.of("parcels").end_bytes + BACKUP_BYTES <= total_bytes
    assert layout.of("host-a").size_bytes == layout.of("host-b").size_bytes >= host_image_bytes


def test_the_least_size_is_exact_and_named_when_a_byte_is_missing() -> None:
    least = least_total_bytes(300 * MIB)
    plan(least, 300 * MIB, STICK)
    with pytest.raises(BadInput) as refused:
        plan(least - 1, 300 * MIB, STICK)
    assert "too small" in refused.value.message
    assert f"{least // MIB} MiB" in refused.value.hint


def test_a_slot_smaller_than_its_host_is_refused() -> None:
    with pytest.raises(BadInput):
        plan(64 * GIB, 300 * MIB, STICK, host_slot_bytes=299 * MIB)


def test_two_sticks_have_no_name_and_no_uuid_in_common() -> None:
    one, other = plan(8 * GIB, 300 * MIB, STICK), plan(8 * GIB, 300 * MIB, "deadbeef")
    assert not {p.uuid for p in one.partitions} & {p.uuid for p in other.partitions}
    assert one.of("parcels").name == partition_name("parcels", STICK)
    assert not {p.name for p in one.partitions} & {p.name for p in other.partitions}


def test_what_is_written_is_read_back(image: Path) -> None:
    assert read_layout(image) == small()


def test_the_image_stays_sparse(image: Path) -> None:
    assert image.stat().st_blocks * 512 < MIB


def test_a_table_for_4096_byte_sectors_replaces_the_other_and_is_read_back(image: Path) -> None:
    relabel(image, small(), sector_bytes=4096)
    assert read_layout(image) == replace(small(), sector_bytes=4096)
    relabel(image, small(), sector_bytes=512)
    assert read_layout(image) == small()


def test_boot_code_survives_a_new_table(image: Path) -> None:
    code = bytes(range(1, 200))
    with image.open("r+b") as file:
        file.write(code)
    relabel(image, small(), sector_bytes=4096)
    assert image.read_bytes()[: len(code)] == code


def test_partitions_contents_survive_a_new_table(image: Path) -> None:
    places = [p.offset_bytes for p in small().partitions] + [p.end_bytes - 4 for p in small().partitions]
    with image.open("r+b") as file:
        for place in places:
            os.pwrite(file.fileno(), b"kept", place)
    relabel(image, small(), sector_bytes=4096)
    with image.open("rb") as file:
        assert {os.pread(file.fileno(), 4, place) for place in places} == {b"kept"}


def test_growing_moves_only_the_end_of_the_parcels(image: Path) -> None:
    larger = grown(small(), 900 * MIB + 512)
    os.truncate(image, 900 * MIB + 512)
    relabel(image, larger, sector_bytes=512)
    again = read_layout(image)
    assert again == larger
    assert again.partitions[:-1] == small().partitions[:-1]
    assert again.of("parcels").end_bytes == 899 * MIB
    assert replace(again.of("parcels"), size_bytes=0) == replace(small().of("parcels"), size_bytes=0)


def test_growing_to_the_same_size_changes_nothing() -> None:
    assert grown(small(), small().total_bytes) == small()


def test_a_stick_does_not_shrink(image: Path) -> None:
    with pytest.raises(DeviceTooSmall):
        grown(small(), small().total_bytes - 1)
    os.truncate(image, 599 * MIB)
    with pytest.raises(DeviceTooSmall):
        relabel(image, small(), sector_bytes=512)


@pytest.mark.parametrize("damaged_at", [512 + 40, 1024 + 60])
def test_a_damaged_primary_table_is_read_from_its_backup(image: Path, damaged_at: int) -> None:
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), b"\xff" * 8, damaged_at)
    assert read_layout(image) == small()


def test_a_disk_with_both_tables_damaged_is_refused(image: Path) -> None:
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), b"\xff" * 8, 1024 + 60)
        os.pwrite(file.fileno(), b"\xff" * 8, small().total_bytes - 512 + 40)
    with pytest.raises(BadImage) as refused:
        read_layout(image)
    assert "checksum" in refused.value.message


def test_a_truncated_image_is_refused_with_both_sizes(image: Path) -> None:
    os.truncate(image, 300 * MIB)
    with pytest.raises(BadImage) as refused:
        read_layout(image)
    assert "300 MiB of 600 MiB" in refused.value.message


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(4096), bytes(MIB)])
def test_what_is_no_disk_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "no.img").write_bytes(content)
    with pytest.raises(BadImage):
        read_layout(tmp_path / "no.img")


@pytest.mark.parametrize("name", ["none.img", "."])
def test_a_missing_image_and_a_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadImage):
        read_layout(tmp_path / name)


def mixed(layout: Layout) -> Layout:
    other = plan(layout.total_bytes, 50 * MIB, "deadbeef", esp_bytes=64 * MIB, host_slot_bytes=60 * MIB)
    return replace(layout, partitions=(*layout.partitions[:-1], other.partitions[-1]))


def overlapping(layout: Layout) -> Layout:
    esp = replace(layout.of("esp"), size_bytes=layout.of("esp").size_bytes + MIB)
    return replace(layout, partitions=(layout.partitions[0], esp, *layout.partitions[2:]))


def renamed(layout: Layout) -> Layout:
    return replace(layout, partitions=(*layout.partitions[:-1], replace(layout.of("parcels"), name="data")))


def shortened(layout: Layout) -> Layout:
    return replace(layout, partitions=layout.partitions[:-1])


@pytest.mark.parametrize("spoil", [mixed, overlapping, renamed, shortened])
def test_a_sound_table_that_is_no_sticks_is_refused(image: Path, spoil: object) -> None:
    assert callable(spoil)
    write_table(image, spoil(small()))
    with pytest.raises(BadImage):
        read_layout(image)


def test_a_header_from_the_uefi_specification_decodes() -> None:
    """Bytes made by hand from table 5.5, not by our own writer."""
    entries_crc = 0xAB54D286  # CRC-32 of 16384 zero bytes, as every tool writes for an empty table
    body = bytes.fromhex(
        "4546492050415254" "00000100" "5c000000" "00000000" "00000000"
        "0100000000000000" "ff07000000000000" "2200000000000000" "de07000000000000"
        "00112233445566778899aabbccddeeff"
        "0200000000000000" "80000000" "80000000" "86d254ab"
    )  # fmt: skip
    header = gpt.decode_header(body[:16] + zlib.crc32(body).to_bytes(4, "little") + body[20:])
    assert (header.this_lba, header.other_lba, header.entries_lba) == (1, 0x7FF, 2)
    assert header.entries_crc == entries_crc
    assert str(header.disk_uuid) == "33221100-5544-7766-8899-aabbccddeeff"
    assert gpt.decode_entries(bytes(gpt.ENTRIES_BYTES), header) == ()
