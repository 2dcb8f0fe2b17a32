"""`soulpad write` at a PC: onto a disk on its USB bus, and not onto its own disk.

The PC runs the host's kernel and this machine's root, so what writes is this very command with this environment; the
disks, their buses and what sysfs says of them are the PC's.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from builder.debian.dib import build_root
from builder.debian.initrd import make_initrd
from builder.host.image import build_host, unpack_parts
from builder.host.recipe import read_host_recipe
from builder.pc.emulator import emulator_for
from builder.pc.machine import Window
from builder.places import ROOT
from demo.walk import HOST
from soulpad.base.progress import Silent
from soulpad.base.run import run, start
from soulpad.base.units import GIB, MIB

pytestmark = pytest.mark.boot

SOURCE = Path(__file__).parent / "writing-pc"
TIMEOUT_SECONDS = 1200
SCRIPT = """\
cd {root}
for disk in /sys/block/sd?; do echo "DISK ${{disk##*/}} $(readlink -f "$disk" | grep -o usb | head -1)"; done
for disk in /sys/block/sd?; do
  case $(readlink -f "$disk") in *usb*) usb=/dev/${{disk##*/}} ;; *) own=/dev/${{disk##*/}} ;; esac
done
/lib/systemd/systemd-udevd --daemon
udevadm trigger --subsystem-match=block
udevadm settle
{python} -m soulpad.cli write {image} "$own" --yes
echo "OWN DISK $?"
{python} -m soulpad.cli write {image} "$usb" --yes
echo "USB DISK $?"
echo o > /proc/sysrq-trigger
sleep 60
"""


@pytest.fixture
def boot_files(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Kernel and initramfs of the PC."""
    recipe = read_host_recipe(HOST)
    root = tmp_path / "root"
    unpack_parts(build_root(recipe.name, recipe.all_elements, {}, Silent()), root, Silent())
    (modules,) = (root / "usr/lib/modules").iterdir()
    make_initrd(SOURCE, modules, root / "usr/bin/busybox", tmp_path, tmp_path / "initrd.img")
    yield build_host(HOST, Silent()).folder / "vmlinuz", tmp_path / "initrd.img"


def written_at_pc(folder: Path, image: Path, boot_files: tuple[Path, Path], usb: Path, own: Path) -> str:
    """Has the PC run SCRIPT; returns what came out of its serial port."""
    (folder / "script").write_text(
        SCRIPT.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable), image=shlex.quote(str(image)))
    )
    emulator, (kernel, initrd) = emulator_for(Window.NONE), boot_files
    log = folder / "serial.log"
    with ExitStack() as cleanup:
        process = start(
            [
                *emulator.argv,
                *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-cpu", "EPYC"),
                *("-accel", "tcg", "-m", "2048", "-kernel", kernel, "-initrd", initrd, "-no-reboot"),
                *("-append", f"console=ttyS0 quiet panic=-1 writing.script={folder / 'script'}"),
                *("-serial", f"file:{log}"),
                *("-virtfs", "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap"),
                *("-device", "qemu-xhci,id=usb", "-drive", f"if=none,id=stick,format=raw,file={usb},cache=unsafe"),
                *("-device", "usb-storage,bus=usb.0,drive=stick"),
                *("-drive", f"if=none,id=own,format=raw,file={own},cache=unsafe", "-device", "ide-hd,drive=own"),
            ],
            env=emulator.env,
        )
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        process.wait(TIMEOUT_SECONDS)
    return log.read_text(errors="replace")


def test_a_disk_on_the_pcs_usb_bus_is_written_and_its_own_disk_is_refused(
    tmp_path: Path, stick: Path, boot_files: tuple[Path, Path]
) -> None:
    usb, own = tmp_path / "usb.img", tmp_path / "own.img"
    for disk, size in ((usb, 3 * GIB + 64 * MIB), (own, 4 * GIB)):
        with disk.open("wb") as file:
            file.truncate(size)
    said = written_at_pc(tmp_path, stick, boot_files, usb, own)
    assert "OWN DISK 20" in said, said
    assert "is this PC's own disk" in said
    assert "USB DISK 0" in said, said
    assert own.stat().st_blocks == 0
    # The partition table is the disk's own: the parcels' partition was made to fill it.
    run(["cmp", "--ignore-initial", str(MIB), "--bytes", str(3 * GIB - 2 * MIB), stick, usb])
