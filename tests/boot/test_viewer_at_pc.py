"""The viewer at an emulated PC: which USB devices udev lets it open, and that its user is heard on the sound card.

The PC runs the host's own root over 9p, with our files laid over it. The virtual machine inside is there only for its
USB ports: its guest is a BIOS without a disk.
"""

from __future__ import annotations

import array
import shutil
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
from builder.places import HOSTOS
from demo.walk import HOST
from soulpad.base.progress import Silent
from soulpad.base.run import Process, run, start
from soulpad.base.units import MIB, SECTOR_BYTES

pytestmark = pytest.mark.boot

SCRIPT = Path(__file__).parent / "viewing-pc/script"
INITRD = Path(__file__).parent / "writing-pc"
TIMEOUT_SECONDS = 1200.0
WAV_HEADER_BYTES = 44
DISKS_MIB = {"stick": 32, "other": 48}


@dataclass(frozen=True)
class Pc:
    """A running PC. ``folder``: its serial port's log and what its sound card played."""

    process: Process
    folder: Path

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
    """A PC with a sound card, a keyboard, a tablet and two disks on USB."""
    (modules,) = (root / "usr/lib/modules").iterdir()
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    make_initrd(INITRD, modules, root / "usr/bin/busybox", folder, folder / "initrd.img")
    drives: list[str | Path] = []
    for name, mib in DISKS_MIB.items():
        with (folder / f"{name}.img").open("wb") as file:
            file.truncate(mib * MIB)
        drives += ["-drive", f"if=none,id={name},format=raw,file={folder / name}.img,cache=unsafe"]
    emulator = emulator_for(Window.NONE)
    with ExitStack() as cleanup:
        process = start(
            [
                *emulator.argv,
                *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-cpu", "EPYC"),
                *("-accel", "tcg", "-m", "2048", "-kernel", kernel, "-initrd", folder / "initrd.img", "-no-reboot"),
                *("-append", "console=ttyS0 quiet panic=-1 writing.script=/script"),
                *("-serial", f"file:{folder / 'serial.log'}"),
                *("-virtfs", f"local,path={root},mount_tag=machine,security_model=none,readonly=on,multidevs=remap"),
                *("-device", "virtio-vga", "-device", "qemu-xhci,id=usb,p2=8,p3=8", *drives),
                *("-device", "usb-storage,bus=usb.0,drive=stick", "-device", "usb-storage,bus=usb.0,drive=other"),
                *("-device", "usb-kbd,bus=usb.0", "-device", "usb-tablet,bus=usb.0"),
                *("-audiodev", f"wav,id=sound,path={folder / 'sound.wav'}"),
                *("-device", "intel-hda", "-device", "hda-output,audiodev=sound"),
            ],
            env=emulator.env,
        )
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        yield Pc(process, folder)


def test_the_viewer_may_open_other_usb_devices_than_stick_and_keyboard_and_is_heard(root: Path, tmp_path: Path) -> None:
    with viewing_pc(root, tmp_path) as pc:
        pc.process.wait(TIMEOUT_SECONDS)
        said = pc.said()
    for device, owner in (
        ("QEMU USB Keyboard", "root"),
        ("xHCI Host Controller", "root"),
        (f"QEMU USB HARDDRIVE of {32 * MIB // SECTOR_BYTES} sectors", "root"),
        (f"QEMU USB HARDDRIVE of {48 * MIB // SECTOR_BYTES} sectors", "soulpad-viewer"),
    ):
        assert f"USB {device} belongs to {owner}\n" in said.replace("\r", ""), said
    # What was there before is not given to the guest by itself.
    assert "PORT free" in said and "VIEWER SHOWS THE SCREEN" in said, said
    assert "SOUND 0" in said
    assert pc.loudest_sample() > 1000, "the card is silent: nobody turned it up"
