"""What the kernel and udev say of a USB device: of which kind it is, and whether it may be given to a guest."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Sound, cameras and phones, printers, disks, smart cards, webcams. Source: usb.org, "Defined Class Codes".
COMMON_KINDS = frozenset({0x01, 0x06, 0x07, 0x08, 0x0B, 0x0E})
KEYS_AND_BUTTONS = 0x03  # those of a headset or a webcam go with it
NODES = Path("/dev/bus/usb")
SYSFS = Path("/sys/bus/usb/devices")


@dataclass(frozen=True)
class Device:
    """A USB device of the PC. ``place``: its bus and its address there, which is another one whenever it is plugged in.
    ``model``: vendor and product."""

    place: str
    model: str
    name: str

    @property
    def numbers(self) -> tuple[int, int]:
        """Its bus and its address."""
        bus, address = self.place.split("-")
        return int(bus), int(address)


def described(description: str) -> Device:
    """The device of a text: maker, product, [vendor:product], bus and address, with tabs between them."""
    maker, product, model, bus, address = description.split("\t")
    name = " ".join(f"{maker} {product}".split()) or "USB device"
    return Device(f"{bus}-{address}", model.strip("[]"), name)


def may_be_given(device: Device, nodes: Path = NODES) -> bool:
    """Whether udev lets this process open it (70-soulpad-usb.rules): never the stick, a hub or the host's keyboard."""
    bus, address = device.numbers
    return os.access(nodes / f"{bus:03}" / f"{address:03}", os.R_OK | os.W_OK)


def is_common(device: Device, sysfs: Path = SYSFS) -> bool:
    """Whether it is of a kind that people plug in for a while, with everything that it has."""
    kinds = kinds_of(device, sysfs)
    return bool(kinds) and kinds - {KEYS_AND_BUTTONS} <= COMMON_KINDS and kinds != {KEYS_AND_BUTTONS}


def kinds_of(device: Device, sysfs: Path = SYSFS) -> frozenset[int]:
    """The classes of its interfaces. Source: Linux Documentation/ABI/stable/sysfs-bus-usb and testing/sysfs-bus-usb."""
    for number in sysfs.glob("*/devnum"):
        with suppress(OSError, ValueError):  # it was pulled out meanwhile
            folder = number.parent
            if (int((folder / "busnum").read_text()), int(number.read_text())) == device.numbers:
                found = (sysfs / folder.name).glob(f"{folder.name}:*/bInterfaceClass")
                return frozenset(int(path.read_text(), 16) for path in found)
    return frozenset()
