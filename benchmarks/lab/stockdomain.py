"""A parcel's machine as libvirt alone would run it: what the product is compared with."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from soulpad.session.viewer import SPICE_SOCKET
from soulpad.store.checkpoint import RAM_NAME
from soulpad.store.parcel import ParcelDescription
from soulpad.vm.domain import QEMU_NAMESPACE, RunFiles, add, domain_xml


def stock_xml(description: ParcelDescription, disk: Path, serial_device: Path) -> str:
    """The same disk, devices and CPU model, without all that the product tells QEMU past libvirt: ordinary memory,
    no library loaded into it, nothing incoming."""
    machine = description.machine
    files = RunFiles(disk.with_name(RAM_NAME), (disk,), SPICE_SOCKET, serial_device=serial_device)
    domain = ET.fromstring(domain_xml(description.uuid, machine, files, "qemu"))
    for line in domain.findall(f"{{{QEMU_NAMESPACE}}}commandline"):
        domain.remove(line)
    cpu = add(domain, "cpu", mode="custom", match="exact", check="none")
    name, *changes = libvirt_model(machine.cpu_model)
    add(cpu, "model", text=name, fallback="forbid")
    for change in changes:
        add(cpu, "feature", policy="disable" if change.startswith("-") else "require", name=change[1:])
    return ET.tostring(domain, encoding="unicode")


def libvirt_model(cpu_model: str) -> list[str]:
    """The model as libvirt names it (its first version has no number), and the features changed, as +NAME or -NAME."""
    name, *changes = cpu_model.split(",")
    return [name.removesuffix("-v1"), *changes]
