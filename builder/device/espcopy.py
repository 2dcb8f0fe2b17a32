"""The ESP of an image again, for a device with larger sectors.

A FAT counts in the sectors it was made for, and neither Linux nor firmware reads one whose sectors are smaller than
the device's. So for a device with sectors of 4096 bytes the file system is made anew and the files are copied.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from builder.disk.esp import write_esp
from builder.disk.partitions import Layout
from soulpad.base.errors import BadImage, BadInput, DeviceRefused, ProgramFailed
from soulpad.base.run import run
from soulpad.store.stick import ESP_LABEL


def fat_sector_bytes(image: Path, layout: Layout) -> int:
    """What the ESP's FAT counts in; 0 where there is none (FAT specification 1.03: BPB_BytsPerSec at byte 11)."""
    with image.open("rb") as file:
        file.seek(layout.of("esp").offset_bytes)
        boot_sector = file.read(512)
    return int.from_bytes(boot_sector[11:13], "little") if boot_sector.endswith(b"\x55\xaa") else 0


def copy_esp(image: Path, layout: Layout, sector_bytes: int, target: Path) -> None:
    """Makes ``target``, a sparse file that holds at the ESP's offset the same files in a FAT of ``sector_bytes``.

    Raises BadImage when the image's ESP cannot be read, DeviceRefused when such a FAT cannot be that small.
    """
    esp = layout.of("esp")
    with tempfile.TemporaryDirectory(prefix="soulpad-esp-") as folder:
        try:
            run(["mcopy", "-s", "-n", "-m", "-i", f"{image}@@{esp.offset_bytes}", "::/*", folder])
        except ProgramFailed as error:
            raise BadImage(f"{image} has an unreadable ESP ({error.message})", "create the image again") from None
        files = {str(path.relative_to(folder)): path for path in Path(folder).rglob("*") if path.is_file()}
        target.touch()
        os.truncate(target, layout.total_bytes)
        try:
            write_esp(target, esp, ESP_LABEL, files, sector_bytes)
        except BadInput as error:
            raise DeviceRefused(
                f"the device's sectors of {sector_bytes} bytes are too large for this image's ESP: {error.message}",
                "take a stick with sectors of 512 bytes, as nearly all have",
            ) from None
