"""Sticks for the boot tests."""

from __future__ import annotations

from pathlib import Path

from builder.create import StickSpec, create_stick
from builder.guest.parcels import ParcelRequest
from demo.walk import HOST, LABORATORY, LUKS, PASSPHRASE
from soulpad.base.progress import Silent
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB


def unused_stick(folder: Path, total_bytes: int, memory_mib: int) -> Path:
    """A stick whose parcel has that much memory, and for a disk an empty one with a boot signature."""
    guest = folder / "guest.img"
    guest.write_bytes(bytes(510) + b"\x55\xaa")
    with guest.open("r+b") as file:
        file.truncate(64 * MIB)
    parcel = ParcelRequest("work", guest, memory_mib)
    spec = StickSpec(total_bytes, (parcel,), HOST, "us", LUKS, LABORATORY)
    return create_stick(folder / "stick.img", spec, Secret(PASSPHRASE.encode()), None, Silent()).image
