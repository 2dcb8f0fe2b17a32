"""The arithmetic of the parcels partition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builder.store import storeimage
from builder.store.luks import LuksHeader
from soulpad.base.errors import UnknownFormat
from soulpad.base.units import GIB, MIB

OURS = LuksHeader("uuid", 16 * MIB, 4096, "aes-xts-plain64", 64, ())


@pytest.mark.parametrize(
    ("partition", "payload"), [(GIB, GIB - 16 * MIB), (GIB + 4095, GIB - 16 * MIB), (16 * MIB, 0), (MIB, 0)]
)
def test_the_payload_is_the_whole_sectors_behind_the_header(partition: int, payload: int) -> None:
    assert storeimage.payload_bytes(partition) == payload


def test_an_empty_store_has_a_least_size() -> None:
    assert storeimage.least_partition_bytes({}) == 316 * MIB


def test_stores_encrypted_in_another_way_are_refused() -> None:
    assert storeimage.require_ours(OURS) == OURS
    others = (
        replace(OURS, cipher="serpent-xts-plain64"),
        replace(OURS, sector_bytes=512),
        replace(OURS, payload_offset_bytes=32 * MIB),
        replace(OURS, volume_key_bytes=32),
    )
    for other in others:
        with pytest.raises(UnknownFormat):
            storeimage.require_ours(other)
