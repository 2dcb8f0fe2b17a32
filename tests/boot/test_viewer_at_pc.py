"""The viewer at an emulated PC: which USB devices udev lets it open, that a disk which is plugged in reaches the guest
and is let go of at the end, and that the viewer's user is heard on the sound card.

The PC runs the host's own root over 9p, with our files laid over it. The guest in it is the host's kernel with a script
that looks for a USB disk.
"""

from __future__ import annotations

import array
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.debian.dib import build_root
from builder.debian.initrd import make_initrd
from builder.host.recipe import read_host_recipe
from builder.pc.emulator import emulator_for
from builder.pc.machine import Window
from builder.pc.monitor import Monitor
from builder.places import HOSTOS
from demo.walk import HOST
from soulpad.base.progress import Silent
from soulpad.base.run import Process, run, start
from soulpad.base.units import MIB, SECTOR_BYTES

pytestmark = pytest.mark.boot

SCRIPT = Path(__file__).parent / "viewing-pc/script"
GUEST = SCRIPT.parent / "guest"
INITRD = Path(__file__).parent / "writing-pc"
TIMEOUT_SECONDS = 1200.0
WAV_HEADER_BYTES = 44
DISKS_MIB = {"stick": 32, "other": 48, "late": 16}
LATE = b"a disk that was plugged in\n"  # how it begins, which only the guest reads


@dataclass(frozen=True)
class Pc:
    """A running PC. ``folder``: its serial port's log and what its sound card played."""

    process: Process
    folder: Path
    monitor: Monitor

    def wait_until_said(self, line: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while line not in self.said():
            assert self.process.poll() is None and time.monotonic() < deadline, self.said()
            time.sleep(0.5)

    def said(self) -> str:
        return (self.folder / "serial.log").read_text(errors="replace")

    def loudest_sample(self) -> int:
        sound = (self.folder / "sound.wav").read_bytes()[WAV_HEADER_BYTES:]
        return max(array.array("h", sound[: len(sound) // 2 * 2]), default=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The host's root with our files in it, and the script of this test."""
    recipe = read_host_recipe(HOST)
    folder = tmp_path / "root"
    folder.mkdir()
    archive = build_root(recipe.name, recipe.all_elements, {}, Silent())
    run(["tar", "--numeric-owner", "-xpC", folder, "-f", archive])
    shutil.copytree(HOSTOS / "rootfs", folder, dirs_exist_ok=True)
    shutil.copytree(HOSTOS / "programs", folder / "usr/lib/soulpad/programs")
    sectors = DISKS_MIB["stick"] * MIB // SECTOR_BYTES
    (folder / "script").write_text(f"STICK_SECTORS={sectors}\n{SCRIPT.read_text()}")
    return folder


@contextmanager
def viewing_pc(root: Path, folder: Path) -> Iterator[Pc]:
    """A PC with a sound card, a keyboard, a tablet and two disks on USB; a third one is in a drawer."""
    (modules,) = (root / "usr/lib/modules").iterdir()
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    busybox = root / "usr/bin/busybox"
    make_initrd(INITRD, modules, busybox, folder, folder / "initrd.img")
    make_initrd(GUEST, modules, busybox, folder / "guest", root / "guest.img")
    shutil.copyfile(kernel, root / "vmlinuz.guest")
    drives: list[str | Path] = []
    for name, mib in DISKS_MIB.items():
        with (folder / f"{name}.img").open("wb") as file:
            file.write(LATE if name == "late" else b"")
            file.truncate(mib * MIB)
        drives += ["-drive", f"if=none,id={name},format=raw,file={folder / name}.img,cache=unsafe"]
    emulator = emulator_for(Window.NONE)
    with ExitStack() as cleanup:
        process = start(
            [
                *emulator.argv,
                *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-cpu", "EPYC,+svm,+npt"),
                *("-accel", "tcg", "-m", "2048", "-kernel", kernel, "-initrd", folder / "initrd.img", "-no-reboot"),
                *("-append", "console=ttyS0 quiet panic=-1 writing.script=/script"),
                *("-serial", f"file:{folder / 'serial.log'}"),
                *("-virtfs", f"local,path={root},mount_tag=machine,security_model=none,readonly=on,multidevs=remap"),
                *("-device", "virtio-vga", "-device", "qemu-xhci,id=usb,p2=8,p3=8", *drives),
                *("-device", "usb-storage,bus=usb.0,drive=stick", "-device", "usb-storage,bus=usb.0,drive=other"),
                *("-device", "usb-kbd,bus=usb.0", "-device", "usb-tablet,bus=usb.0"),
                *("-audiodev", f"wav,id=sound,path={folder / 'sound.wav'}"),
                *("-device", "intel-hda", "-device", "hda-output,audiodev=sound"),
                *("-qmp", f"unix:{folder / 'monitor'},server=on,wait=off"),
            ],
            env=emulator.env,
        )
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        monitor = Monitor()
        cleanup.callback(monitor.close)
        monitor.connect(folder / "monitor", lambda: process.poll() is None)
        yield Pc(process, folder, monitor)


def test_the_viewer_gives_a_disk_to_the_guest_and_never_the_stick_and_is_heard(root: Path, tmp_path: Path) -> None:
    with viewing_pc(root, tmp_path) as pc:
        pc.wait_until_said("VIEWER SHOWS THE SCREEN")
        pc.monitor.execute("device_add", driver="usb-storage", id="plugged", bus="usb.0", drive="late")
        pc.wait_until_said("DEVICE GIVEN")
        pc.monitor.execute("screendump", filename=str(tmp_path / "given.png"), format="png")
        pc.process.wait(TIMEOUT_SECONDS)
        said = pc.said()
    for device, owner in (
        ("QEMU USB Keyboard", "root"),
        ("xHCI Host Controller", "root"),
        (f"QEMU USB HARDDRIVE of {32 * MIB // SECTOR_BYTES} sectors", "root"),
        (f"QEMU USB HARDDRIVE of {48 * MIB // SECTOR_BYTES} sectors", "soulpad-viewer"),
    ):
        assert f"USB {device} belongs to {owner}\n" in said.replace("\r", ""), said
    told = [line for line in said.splitlines() if line.startswith(("PORT", "GUEST", "VIEWER", "DEVICE"))]
    assert told == [
        "GUEST has no disk",
        "PORT free",  # what was there before is not given to the guest by itself
        "VIEWER SHOWS THE SCREEN",
        "GUEST reads a disk that was plugged in",
        "PORT attached",
        "DEVICE GIVEN",
        "PORT free",
        "GUEST has no disk",
        "VIEWER DIED",
        "PORT attached",  # the next viewer knows what the one before gave
        "GUEST reads a disk that was plugged in",
        "DEVICE GIVEN AGAIN",
        "PORT free",
        "VIEWER ENDED",
    ], said
    assert "SOUND 0" in said
    assert pc.loudest_sample() > 1000, "the card is silent: nobody turned it up"
