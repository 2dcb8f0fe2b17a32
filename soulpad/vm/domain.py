"""The libvirt domain of a parcel, as a pure function of its frozen machine and of this run's files.

Guest RAM is a shared file in the store. libvirt names and deletes such files by itself, so the memory back end,
the CPU and the waiting for an incoming state go to QEMU by ``qemu:commandline`` (libvirt keeps track of the rest).
``enforce`` makes QEMU refuse a CPU that lacks a feature of the model; without it the guest would crash later.
Source: libvirt formatdomain.html; QEMU docs/system/invocation, docs/devel/migration.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soulpad.store.parcel import Machine

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
ET.register_namespace("qemu", QEMU_NAMESPACE)

# The port at which QEMU's guest agent listens in a guest that has one (QEMU docs/interop/qemu-ga.rst).
GUEST_AGENT = "org.qemu.guest_agent.0"

# The tablet has the first port of the USB controller; the next ones are free for devices of the PC's.
USB_PORTS = 8
USB_REDIRECTIONS = 4

Accelerator = Literal["kvm", "qemu"]


@dataclass(frozen=True)
class RunFiles:
    """What this run of the machine uses. ``preload``: the library that drops QEMU's huge-page advice, which would
    make every first touch of a guest page read 2 MB (None: not installed). ``serial_device``: a character device
    of the host for the guest's first serial port, or None for a port that leads nowhere."""

    ram: Path
    disks: tuple[Path, ...]
    spice_socket: Path
    preload: Path | None = None
    serial_device: Path | None = None


def domain_xml(
    uuid: str, machine: Machine, files: RunFiles, accelerator: Accelerator, *, incoming: bool = False
) -> str:
    """The domain's XML; ``incoming`` makes QEMU wait for a device state instead of starting at the reset vector."""
    domain = ET.Element("domain", type=accelerator)
    add(domain, "name", text="parcel")
    add(domain, "uuid", text=uuid)
    # A new generation id each run tells the guest to reseed its random numbers (Microsoft's VM Generation ID).
    add(domain, "genid")
    add(domain, "memory", text=str(machine.memory_mib), unit="MiB")
    add(domain, "vcpu", text=str(machine.vcpus))
    system = add(domain, "os")
    add(system, "type", text="hvm", arch="x86_64", machine=machine.machine_type)
    add(system, "boot", dev="hd")
    features = add(domain, "features")
    add(features, "acpi")
    add(features, "apic")
    add(domain, "clock", offset="utc")
    add(domain, "on_poweroff", text="destroy")
    add(domain, "on_reboot", text="restart")
    add(domain, "on_crash", text="destroy")
    power = add(domain, "pm")
    add(power, "suspend-to-mem", enabled="no")
    add(power, "suspend-to-disk", enabled="no")
    add_devices(domain, machine, files)
    add_command_line(domain, machine, files, incoming)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def add_devices(domain: ET.Element, machine: Machine, files: RunFiles) -> None:
    """The guest's devices: part of the frozen machine. Only back ends (paths, sockets) may differ between runs."""
    devices = add(domain, "devices")
    add(devices, "emulator", text="/usr/bin/qemu-system-x86_64")
    for index, (disk, path) in enumerate(zip(machine.disks, files.disks, strict=True)):
        element = add(devices, "disk", type="file", device="disk")
        # cache=none: the page cache serves the guest's RAM file; a guest's flush reaches the stick either way.
        # A stick that is full or gives errors makes the machine stand still: its guest loses nothing, and goes on.
        add(
            element,
            "driver",
            name="qemu",
            type="raw",
            cache="none",
            io="threads",
            discard="unmap",
            error_policy="stop",
            rerror_policy="stop",
        )
        add(element, "source", file=str(path))
        prefix = "vd" if disk.bus == "virtio" else "sd"
        add(element, "target", dev=f"{prefix}{chr(ord('a') + index)}", bus=disk.bus)
    add(devices, "controller", type="usb", index="0", model="qemu-xhci", ports=str(USB_PORTS))
    add(devices, "controller", type="virtio-serial", index="0")
    # The chipset's PS/2 keyboard is there anyway and known to every guest; a USB one would take the keys from it
    # and lose them in a guest without that driver.
    add_usb_address(add(devices, "input", type="tablet", bus="usb"), port=1)
    for port in range(2, 2 + USB_REDIRECTIONS):
        add_usb_address(add(devices, "redirdev", bus="usb", type="spicevmc"), port)
    network = add(devices, "interface", type="user")
    add(network, "mac", address=machine.mac_address)
    add(network, "model", type=machine.nic)
    add(network, "rom", enabled="no")  # nobody starts a parcel from the network, and the attempt costs seconds
    graphics = add(devices, "graphics", type="spice")
    add(graphics, "listen", type="socket", socket=str(files.spice_socket))
    add(add(devices, "video"), "model", type=machine.video)
    add_serial(devices, files.serial_device)
    add_channel(devices, "spicevmc", "com.redhat.spice.0", port=1)
    # libvirt listens below its own root and hands QEMU the open socket: QEMU's user needs no folder for it.
    add_channel(devices, "unix", GUEST_AGENT, port=2)
    if machine.sound != "none":
        add(devices, "sound", model=machine.sound)
        add(devices, "audio", id="1", type="spice")
    # Pages that the guest frees are punched out of the RAM file: less to read, write and keep.
    add(devices, "memballoon", model="virtio", freePageReporting="on")
    random = add(devices, "rng", model="virtio")
    add(random, "backend", text="/dev/urandom", model="random")


def add_channel(devices: ET.Element, back_end: str, name: str, port: int) -> None:
    """A virtio-serial port. Its number is part of the device state, so it is said here and not counted by libvirt."""
    channel = add(devices, "channel", type=back_end)
    add(channel, "target", type="virtio", name=name)
    add(channel, "address", type="virtio-serial", controller="0", bus="0", port=str(port))


def add_usb_address(device: ET.Element, port: int) -> None:
    """Where a USB device is plugged in: part of the device state as well, so it is said."""
    add(device, "address", type="usb", bus="0", port=str(port))


def add_serial(devices: ET.Element, device: Path | None) -> None:
    """The guest always has one serial port; where it leads is this run's affair."""
    serial = add(devices, "serial", type="dev" if device else "null")
    if device:
        add(serial, "source", path=str(device))
    add(serial, "target", type="isa-serial", port="0")


def add_command_line(domain: ET.Element, machine: Machine, files: RunFiles, incoming: bool) -> None:
    """What libvirt has no words for."""
    line = add(domain, f"{{{QEMU_NAMESPACE}}}commandline")
    ram = f"memory-backend-file,id=ram0,size={machine.memory_mib}M,mem-path={files.ram},share=on"
    arguments = ["-object", ram, "-machine", "memory-backend=ram0", "-cpu", f"{machine.cpu_model},enforce"]
    if incoming:
        arguments += ["-incoming", "defer"]
    for argument in arguments:
        add(line, f"{{{QEMU_NAMESPACE}}}arg", value=argument)
    if files.preload:
        add(line, f"{{{QEMU_NAMESPACE}}}env", name="LD_PRELOAD", value=str(files.preload))


def add(parent: ET.Element, tag: str, *, text: str | None = None, **attributes: str) -> ET.Element:
    """Appends an element."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element
