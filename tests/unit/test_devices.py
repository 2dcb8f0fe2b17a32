"""Which disks may be written: decided on plain facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builder.device import diskfacts
from builder.device.devices import resolve
from builder.device.diskrules import DiskFacts, bus_of, judged, preferred_link, reasons_to_refuse, require_writable
from soulpad.base.errors import DeviceRefused
from soulpad.base.units import GIB

USB_STICK = DiskFacts(
    path="/dev/sdb",
    whole_disk="/dev/sdb",
    bus="usb",
    by_id="/dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0",
    model="SanDisk Ultra",
    size_bytes=32 * GIB,
    removable=True,
)
LOOP = DiskFacts(path="/dev/loop3", whole_disk="/dev/loop3", bus="loop", kind="virtual", size_bytes=GIB)


def refused_because(facts: DiskFacts) -> str:
    """The first reason, or nothing."""
    reasons = reasons_to_refuse(facts)
    return reasons[0].because if reasons else ""


@pytest.mark.parametrize(
    "facts",
    [
        USB_STICK,
        replace(USB_STICK, removable=False),  # UAS enclosures and USB SSDs call themselves fixed
        replace(USB_STICK, bus="ata", removable=True),  # a hot-plug bay
        replace(USB_STICK, bus="mmc", removable=False, card_type="SD"),  # the kernel calls SD cards fixed
        replace(USB_STICK, sector_bytes=4096),
    ],
)
def test_a_stick_that_nobody_uses_may_be_written(facts: DiskFacts) -> None:
    assert require_writable(facts).writable


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(USB_STICK, bus="nvme", removable=False), "is this PC's own disk (nvme, not removable)"),
        (replace(USB_STICK, bus="ata", removable=False), "is this PC's own disk (ata, not removable)"),
        (replace(USB_STICK, bus="virtio", removable=False), "is this PC's own disk (virtio, not removable)"),
        (
            replace(USB_STICK, bus="mmc", removable=False, card_type="MMC"),
            "is this PC's own disk (mmc, not removable)",
        ),
        (replace(USB_STICK, bus="other", removable=False), "is this PC's own disk (other, not removable)"),
        (replace(USB_STICK, kind="cd"), "is an optical drive, not a stick"),
        (replace(USB_STICK, kind="floppy"), "is a floppy drive, not a stick"),
        (replace(USB_STICK, bus="virtual", removable=False), "is not a real disk"),
        (LOOP, "is a loop device, not a stick"),
        (replace(USB_STICK, size_bytes=0), "has no medium in it"),
        (replace(USB_STICK, read_only=True), "is write-protected"),
        (replace(USB_STICK, mounts=("/media/eva/DATA",)), "is mounted at /media/eva/DATA"),
        (replace(USB_STICK, swaps=("/dev/sdb2",)), "is used as swap (/dev/sdb2)"),
        (replace(USB_STICK, holders=("/dev/dm-0",)), "is in use by /dev/dm-0"),
        (replace(USB_STICK, holders=("/dev/md127",)), "is in use by /dev/md127"),
        (replace(USB_STICK, claimed=True), "is in use by another program or a mount elsewhere"),
        (replace(USB_STICK, mounts=("/", "/home")), "holds the running system (/ is on it)"),
        (replace(USB_STICK, mounts=("/boot/efi",)), "holds the running system (/boot/efi is on it)"),
        (replace(USB_STICK, by_id=None), "has no name under /dev/disk/by-id"),
    ],
)
def test_a_disk_is_refused_for_what_it_is(facts: DiskFacts, reason: str) -> None:
    assert refused_because(facts) == reason


def test_the_running_system_is_named_before_any_other_reason() -> None:
    own_disk = replace(USB_STICK, bus="nvme", removable=False, mounts=("/boot", "/"), holders=("/dev/dm-0",))
    reasons = [refusal.because for refusal in reasons_to_refuse(own_disk)]
    assert reasons[0] == "holds the running system (/ is on it)"
    assert "is in use by /dev/dm-0" in reasons


def test_a_refusal_is_one_line_with_the_reason_and_a_hint() -> None:
    with pytest.raises(DeviceRefused) as refused:
        require_writable(replace(USB_STICK, path="/dev/sda", bus="nvme", removable=False))
    assert refused.value.message == ("/dev/sda is this PC's own disk (nvme, not removable), so it will not be written")
    assert refused.value.hint == "list the sticks that can be written with: soulpad devices"
    assert refused.value.exit_code == 20


def test_a_mounted_stick_is_refused_with_the_command_that_unmounts_it() -> None:
    with pytest.raises(DeviceRefused) as refused:
        require_writable(replace(USB_STICK, mounts=("/media/eva/DATA",)))
    assert refused.value.hint.endswith("umount /media/eva/DATA")


def test_a_partition_is_refused_and_its_disk_is_named() -> None:
    with pytest.raises(DeviceRefused) as refused:
        require_writable(replace(USB_STICK, path="/dev/sdb1", device_type="partition"))
    assert refused.value.message.startswith("/dev/sdb1 is a partition of /dev/sdb")
    assert refused.value.hint == "name the whole disk: /dev/sdb"


def test_a_loop_device_is_accepted_only_where_tests_ask_for_it() -> None:
    assert require_writable(LOOP, allow_loop=True).writable
    with pytest.raises(DeviceRefused):
        require_writable(LOOP)
    with pytest.raises(DeviceRefused, match="mounted"):
        require_writable(replace(LOOP, mounts=("/mnt",)), allow_loop=True)


def test_a_stick_is_written_by_its_id_and_confirmed_by_its_short_name() -> None:
    stick = judged(USB_STICK)
    assert str(stick.write_path) == "/dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0"
    assert stick.short_name == "sdb"


@pytest.mark.parametrize(
    ("sys_path", "id_bus", "bus"),
    [
        (
            "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb",
            "usb",
            "usb",
        ),
        (
            "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb",
            "ata",
            "usb",
        ),
        ("/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda", "ata", "ata"),
        ("/sys/devices/pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0/nvme0n1", None, "nvme"),
        ("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", None, "nvme"),
        ("/sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda", None, "virtio"),
        (
            "/sys/devices/pci0000:00/0000:00:05.0/virtio2/host2/target2:0:0/2:0:0:0/block/sda",
            "scsi",
            "virtio",
        ),
        ("/sys/devices/pci0000:00/0000:02:00.0/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0", None, "mmc"),
        ("/sys/devices/virtual/block/loop0", None, "loop"),
        ("/sys/devices/virtual/block/dm-0", None, "virtual"),
        ("/sys/devices/virtual/block/zram0", None, "virtual"),
    ],
)
def test_the_bus_is_read_from_where_the_device_hangs(sys_path: str, id_bus: str | None, bus: str) -> None:
    assert bus_of(sys_path, id_bus) == bus


def test_of_a_devices_links_the_readable_one_is_shown() -> None:
    links = [
        "/dev/disk/by-path/pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0",
        "/dev/disk/by-id/wwn-0x5001",
        "/dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0",
    ]
    assert preferred_link(links) == "/dev/disk/by-id/usb-SanDisk_Ultra_4C53-0:0"
    assert preferred_link(links[:1]) is None


MOUNTINFO = r"""27 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw
31 27 0:45 /root /data rw shared:1 - btrfs /dev/sdb1 rw
32 27 8:33 / /media/eva/MY\040STICK rw shared:2 master:1 - vfat /dev/sdc1 rw
"""


def test_mounts_are_found_by_device_number_and_by_node() -> None:
    assert list(diskfacts.mounts_of(MOUNTINFO, ["8:33"], [])) == ["/media/eva/MY STICK"]
    assert list(diskfacts.mounts_of(MOUNTINFO, ["8:17"], ["/dev/sdb1"])) == ["/data"]
    assert list(diskfacts.mounts_of(MOUNTINFO, ["8:99"], ["/dev/sdd"])) == []


def test_swap_partitions_are_found_among_a_disks_nodes() -> None:
    swaps = "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb2 partition 1 0 -2\n/swapfile file 1 0 -3\n"
    assert diskfacts.swaps_of(swaps, ["/dev/sdb", "/dev/sdb2"]) == ["/dev/sdb2"]
    assert diskfacts.swaps_of(swaps, ["/dev/sdc"]) == []


@pytest.mark.parametrize("named", ["/dev/null", "/etc/passwd", "/dev/no-such-disk"])
def test_what_is_no_disk_is_refused(named: str) -> None:
    with pytest.raises(DeviceRefused):
        resolve(named)
