"""The domain's XML: what the guest sees is the frozen machine, what differs between runs is behind it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from soulpad.store.parcel import Disk, Machine
from soulpad.vm.domain import QEMU_NAMESPACE, Accelerator, RunFiles, domain_xml

UUID = "6a1f0c3e-52d7-4b8e-9a57-0d4f1b1c7e90"
MACHINE = Machine(
    memory_mib=768,
    disks=(Disk("disk-0.img", 1 << 30), Disk("disk-1.img", 1 << 20, "sata"), Disk("disk-2.img", 1 << 20)),
    vcpus=2,
)
FILES = RunFiles(
    ram=Path("/store/live/ram.img"),
    disks=tuple(Path(f"/store/live/disk-{index}.img") for index in range(3)),
    spice_socket=Path("/run/spice.sock"),
)
OTHER_FILES = RunFiles(
    ram=Path("/elsewhere/ram.img"),
    disks=tuple(Path(f"/elsewhere/disk-{index}.img") for index in range(3)),
    spice_socket=Path("/run/other.sock"),
    preload=Path("/usr/lib/preload.so"),
    serial_device=Path("/dev/ttyS1"),
)
BACK_ENDS = {"source", "listen"}


def domain(
    machine: Machine = MACHINE, files: RunFiles = FILES, accelerator: Accelerator = "kvm", *, incoming: bool = False
) -> ET.Element:
    return ET.fromstring(domain_xml(UUID, machine, files, accelerator, incoming=incoming))


def qemu_arguments(root: ET.Element) -> list[str]:
    return [element.attrib["value"] for element in root.iter(f"{{{QEMU_NAMESPACE}}}arg")]


def value_after(root: ET.Element, option: str) -> str:
    arguments = qemu_arguments(root)
    return arguments[arguments.index(option) + 1]


def guest_visible(root: ET.Element) -> list[tuple[str, dict[str, str], str]]:
    """The devices without their back ends: what the guest can tell one machine from another by."""
    seen = []
    for element in root.find("devices") or []:
        for part in element.iter():
            if part.tag not in BACK_ENDS:
                attributes = {} if part.tag == "serial" else dict(part.attrib)
                seen.append((part.tag, attributes, (part.text or "").strip()))
    return seen


def test_guest_memory_is_the_shared_file_of_this_run() -> None:
    root = domain()
    assert value_after(root, "-object") == (
        "memory-backend-file,id=ram0,size=768M,mem-path=/store/live/ram.img,share=on"
    )
    assert value_after(root, "-machine") == "memory-backend=ram0"
    memory = root.find("memory")
    assert memory is not None and (memory.text, memory.get("unit")) == ("768", "MiB")


def test_a_cpu_that_lacks_a_feature_of_the_model_is_refused_by_qemu() -> None:
    assert value_after(domain(), "-cpu") == f"{MACHINE.cpu_model},enforce"
    assert value_after(domain(replace(MACHINE, cpu_model="Westmere")), "-cpu") == "Westmere,enforce"


def test_qemu_waits_for_a_state_only_when_one_is_coming() -> None:
    assert "-incoming" not in qemu_arguments(domain())
    assert value_after(domain(incoming=True), "-incoming") == "defer"


def test_waiting_for_a_state_changes_no_device() -> None:
    assert guest_visible(domain(incoming=True)) == guest_visible(domain())


def test_a_resume_and_a_cold_start_differ_in_the_waiting_alone() -> None:
    waiting = domain_xml(UUID, MACHINE, FILES, "kvm", incoming=True).splitlines()
    cold = domain_xml(UUID, MACHINE, FILES, "kvm").splitlines()
    added = [line.strip() for line in waiting if line not in cold]
    assert added == ['<qemu:arg value="-incoming" />', '<qemu:arg value="defer" />']
    assert [line for line in waiting if line.strip() not in added] == cold


def test_the_ports_of_viewer_and_guest_agent_have_numbers_that_no_order_changes() -> None:
    ports = {}
    for channel in domain().iter("channel"):
        target, address = channel.find("target"), channel.find("address")
        assert target is not None and address is not None and address.get("type") == "virtio-serial"
        ports[target.get("name")] = (channel.get("type"), address.get("controller"), address.get("port"))
    assert ports == {"com.redhat.spice.0": ("spicevmc", "0", "1"), "org.qemu.guest_agent.0": ("unix", "0", "2")}


def test_the_guest_sees_the_same_devices_whatever_files_this_run_uses() -> None:
    assert guest_visible(domain(files=OTHER_FILES)) == guest_visible(domain())
    assert domain_xml(UUID, MACHINE, OTHER_FILES, "kvm") != domain_xml(UUID, MACHINE, FILES, "kvm")


def test_the_guest_sees_the_same_devices_under_both_accelerators() -> None:
    emulated = domain(accelerator="qemu")
    assert emulated.get("type") == "qemu" and domain().get("type") == "kvm"
    assert guest_visible(emulated) == guest_visible(domain())


def test_the_guest_has_no_usb_keyboard() -> None:
    inputs = [(element.get("type"), element.get("bus")) for element in domain().iter("input")]
    assert inputs == [("tablet", "usb")]


@pytest.mark.parametrize(("device", "kind"), [(None, "null"), (Path("/dev/ttyS1"), "dev")])
def test_the_guest_always_has_one_serial_port(device: Path | None, kind: str) -> None:
    [serial] = domain(files=replace(FILES, serial_device=device)).iter("serial")
    target = serial.find("target")
    assert serial.get("type") == kind
    assert target is not None and target.attrib == {"type": "isa-serial", "port": "0"}
    paths = [source.get("path") for source in serial.iter("source")]
    assert paths == ([str(device)] if device else [])


def test_disks_stand_in_their_order_on_their_buses() -> None:
    disks = list(domain().iter("disk"))
    sources = [source.get("file") for disk in disks for source in disk.iter("source")]
    targets = [(target.get("dev"), target.get("bus")) for disk in disks for target in disk.iter("target")]
    assert sources == [str(path) for path in FILES.disks]
    assert targets == [("vda", "virtio"), ("sdb", "sata"), ("vdc", "virtio")]


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_disk_without_a_file_or_a_file_without_a_disk_is_an_error(count: int) -> None:
    files = replace(FILES, disks=tuple(Path(f"/disk-{index}") for index in range(count)))
    with pytest.raises(ValueError, match="zip"):
        domain(files=files)


def test_disks_are_raw_and_bypass_the_page_cache() -> None:
    for driver in domain().iter("driver"):
        assert (driver.get("type"), driver.get("cache")) == ("raw", "none")


def test_the_preloaded_library_is_named_only_when_there_is_one() -> None:
    environment = f"{{{QEMU_NAMESPACE}}}env"
    assert not list(domain().iter(environment))
    [given] = domain(files=OTHER_FILES).iter(environment)
    assert given.attrib == {"name": "LD_PRELOAD", "value": "/usr/lib/preload.so"}


def test_the_pcs_usb_devices_have_ports_whose_numbers_no_order_changes() -> None:
    [tablet] = domain().iter("input")
    places = [place.get("port") for device in (tablet, *domain().iter("redirdev")) for place in device.iter("address")]
    assert places == ["1", "2", "3", "4", "5"]
    assert {device.get("type") for device in domain().iter("redirdev")} == {"spicevmc"}
    [ports] = [controller.get("ports") for controller in domain().iter("controller") if controller.get("type") == "usb"]
    assert ports and len(places) <= int(ports)


def test_sound_is_there_only_when_the_machine_has_it() -> None:
    assert not list(domain().iter("sound")) and not list(domain().iter("audio"))
    [sound] = domain(replace(MACHINE, sound="ich9")).iter("sound")
    assert sound.get("model") == "ich9"


def test_the_machine_is_the_frozen_one() -> None:
    root = domain(replace(MACHINE, machine_type="pc-q35-9.2", nic="e1000e", video="vga", mac_address="52:54:00:1:2:3"))
    assert [element.get("machine") for element in root.iter("type")] == ["pc-q35-9.2"]
    assert root.findtext("vcpu") == "2" and root.findtext("uuid") == UUID
    models = [(parent.tag, model.get("type")) for parent in root.iter() for model in parent.findall("model")]
    assert models == [("interface", "e1000e"), ("video", "vga")]
    assert [mac.get("address") for mac in root.iter("mac")] == ["52:54:00:1:2:3"]


def test_each_run_tells_the_guest_to_reseed_its_random_numbers() -> None:
    identifier = domain().find("genid")
    assert identifier is not None and not identifier.text


def test_names_with_special_characters_stay_inside_their_places() -> None:
    path = Path("/store/a<b>&'\"/disk.img")
    root = domain(replace(MACHINE, disks=MACHINE.disks[:1]), replace(FILES, disks=(path,)))
    assert [source.get("file") for source in root.iter("source") if source.get("file")] == [str(path)]
