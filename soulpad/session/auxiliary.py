"""The auxiliary USB key: another USB disk with a key file for this stick, found by itself (SoulPad paper, 3.2).

The file is ``soulpad-STICKID.key`` in the root folder of any partition (or of the bare disk) of another USB disk. It
is only ever read: the disk is read-only for the kernel, and mounted so.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.session.thispc import Stick

LARGEST_KEY_BYTES = 8192
FILE_SYSTEMS = "vfat,exfat,ext4"


def find_key(stick: Stick, sysfs: Path = Path("/sys/class/block")) -> Secret | None:
    """The key for this stick from another USB disk, or None."""
    for device in usb_block_devices(stick, sysfs):
        if secret := key_on(device, stick.stick_id):
            keep_from_guest(usb_node(device, sysfs))
            return secret
    return None


def usb_node(device: Path, sysfs: Path, nodes: Path = Path("/dev/bus/usb")) -> Path | None:
    """Through what the USB device that ``device`` is on could be given to the guest.

    Source: Linux Documentation/ABI/testing/sysfs-bus-usb, ``busnum`` and ``devnum``.
    """
    for folder in (sysfs / device.name).resolve().parents:
        bus, number = folder / "busnum", folder / "devnum"
        if bus.exists() and number.exists():
            return nodes / f"{int(bus.read_text()):03}" / f"{int(number.read_text()):03}"
    return None


def keep_from_guest(node: Path | None) -> None:
    """Takes back the viewer's right to open it: a guest has no business with the key to its own store."""
    if node:
        with suppress(OSError):  # the key was pulled out meanwhile
            os.chown(node, 0, 0)
            node.chmod(0o600)


def usb_block_devices(stick: Stick, sysfs: Path) -> list[Path]:
    """Partitions and bare disks on USB, without those of the stick itself."""
    return [
        Path("/dev") / entry.name
        for entry in sorted(sysfs.iterdir())
        if "/usb" in str(entry.resolve()) and stick.disk.name not in entry.resolve().parts
    ]


def key_on(device: Path, stick_id: str) -> Secret | None:
    """The key file on ``device``, if it can be mounted and has one."""
    with tempfile.TemporaryDirectory(dir="/run/soulpad") as folder:
        try:
            run(["mount", "-t", FILE_SYSTEMS, "-o", "ro,nodev,nosuid,noexec", device, folder])
        except ProgramFailed:
            return None
        try:
            path = Path(folder) / f"soulpad-{stick_id}.key"
            if path.is_file() and path.stat().st_size <= LARGEST_KEY_BYTES:
                return Secret(path.read_bytes())
            return None
        finally:
            run(["umount", folder])
