"""A guest's disk made of real parts: assembled without root, looked at with other people's tools, and booted."""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import socket
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builder.debian.initrd import wanted_modules
from builder.guest import disk as guestdisk
from builder.guest.disk import PARTITION_OFFSET_BYTES, build_guest
from builder.places import IMAGES
from soulpad.base.errors import NoSpace, ProgramFailed
from soulpad.base.progress import Silent
from soulpad.base.run import run, start
from soulpad.base.units import MIB

pytestmark = pytest.mark.component

RECIPE = (IMAGES / "guest-demo.toml").read_text().replace('"1GiB"', '"512MiB"')
KERNEL = b"MZ" + os.urandom(100_000)
DRIVERS = [f"kernel/{name}.ko.xz" for name in wanted_modules(guestdisk.INITRD)]
MODULES = {
    "modules.dep": "".join(f"{name}:\n" for name in DRIVERS).encode(),
    "modules.builtin": b"",
    **dict.fromkeys(DRIVERS, lzma.compress(b"module")),
}
FIRST_REPORT_SECONDS = 500.0  # 13 on a quiet machine; a failure's length, never waited for otherwise


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    entry = tarfile.TarInfo(f"./{name}")
    entry.size, entry.mode = len(content), 0o644
    for key, value in fields.items():
        setattr(entry, key, value)
    archive.addfile(entry, io.BytesIO(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with what is easily lost on the way: foreign owners, set-uid, device nodes, links."""
    path = tmp_path / "guest-demo-0000000000000000.tar"
    with tarfile.open(path, "w") as archive:
        for folder in ("boot", "etc", "usr/bin", "home/soul", "dev"):
            add(archive, folder, type=tarfile.DIRTYPE, mode=0o755)
        add(archive, "boot/vmlinuz-6.12.1", KERNEL)
        add(archive, "usr/bin/busybox", b"busybox", mode=0o755)
        for name, text in MODULES.items():
            add(archive, f"usr/lib/modules/6.12.1/{name}", text)
        add(archive, "usr/bin/su", b"#!", mode=0o4755)
        add(archive, "home/soul/file", b"mine", uid=1234, gid=4321, mode=0o600)
        add(archive, "etc/machine-id", b"uninitialized\n")
        add(archive, "etc/link", type=tarfile.SYMTYPE, linkname="../usr/bin/su")
        add(archive, "dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    return path


@pytest.fixture
def recipe(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose Debian root is the small one."""
    monkeypatch.setattr(guestdisk, "build_root", lambda *_: root)
    monkeypatch.setattr(guestdisk, "GUESTS", tmp_path / "guests")
    path = tmp_path / "guest.toml"
    path.write_text(RECIPE)
    return path


def debugfs(image: Path, command: str) -> str:
    return run(["debugfs", "-R", command, f"{image}?offset={PARTITION_OFFSET_BYTES}"]).stdout


def test_the_file_system_is_sound_and_holds_the_root_with_its_owners(recipe: Path) -> None:
    image = build_guest(recipe, Silent())
    run(["e2fsck", "-fn", f"{image}?offset={PARTITION_OFFSET_BYTES}"])
    su, file, null = (debugfs(image, f"stat {name}") for name in ("/usr/bin/su", "/home/soul/file", "/dev/null"))
    assert "Mode:  04755" in su and "User:     0" in su
    assert "Mode:  0600" in file and "User:  1234   Group:  4321" in file
    assert "Type: character special" in null and "01:03" in null
    assert debugfs(image, "cat /home/soul/file") == "mine"
    assert '"../usr/bin/su"' in debugfs(image, "stat /etc/link")


def test_the_recipes_settings_and_a_machine_id_are_laid_over_the_root(recipe: Path) -> None:
    image = build_guest(recipe, Silent())
    assert "pattern_mib = 200\n" in debugfs(image, "cat /etc/demo-soul.conf")
    assert int(debugfs(image, "cat /etc/machine-id"), 16)
    assert "User:     0" in debugfs(image, "stat /etc/demo-soul.conf")


def test_a_root_that_is_no_demonstration_is_left_as_it_is(recipe: Path) -> None:
    recipe.write_text(RECIPE.split("[settings]")[0].split("# Becomes")[0])
    image = build_guest(recipe, Silent())
    assert debugfs(image, "cat /etc/machine-id") == "uninitialized\n"
    assert "demo-soul.conf" not in debugfs(image, "ls -p /etc")
    assert "initrd" not in debugfs(image, "ls -p /boot")


def test_other_tools_see_one_bootable_partition_to_the_end_of_the_disk(recipe: Path) -> None:
    image = build_guest(recipe, Silent())
    table = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]
    assert table["label"] == "dos"
    [partition] = table["partitions"]
    assert (partition["start"], partition["type"], partition["bootable"]) == (2048, "83", True)
    assert (partition["start"] + partition["size"]) * 512 == image.stat().st_size == 512 * MIB
    assert image.stat().st_blocks * 512 < 64 * MIB  # sparse
    assert b"GRUB" in image.read_bytes()[:512]


def test_an_unchanged_guest_is_there_at_once_and_a_changed_one_is_another(recipe: Path) -> None:
    image = build_guest(recipe, Silent())
    built_at = image.stat().st_ino
    assert build_guest(recipe, Silent()).stat().st_ino == built_at
    recipe.write_text(RECIPE.replace("pattern_mib = 200", "pattern_mib = 100"))
    assert build_guest(recipe, Silent()) != image


def test_a_root_that_does_not_fit_leaves_nothing_half_made(recipe: Path, root: Path) -> None:
    with tarfile.open(root, "a") as archive:
        add(archive, "large", os.urandom(MIB) * 600)
    with pytest.raises((ProgramFailed, NoSpace)):
        build_guest(recipe, Silent())
    assert list((recipe.parent / "guests").iterdir()) == []


def test_a_root_without_kernel_is_refused(recipe: Path, root: Path) -> None:
    with tarfile.open(root, "w") as archive:
        add(archive, "etc", type=tarfile.DIRTYPE, mode=0o755)
    with pytest.raises(ProgramFailed, match="0 kernels"):
        build_guest(recipe, Silent())
    assert list((recipe.parent / "guests").iterdir()) == []


# --- the demonstration guest itself


@dataclass
class Machine:
    """A running guest: its serial port and QEMU's monitor."""

    serial: socket.socket
    monitor: Any
    received: bytes = field(default=b"")

    def next(self, kind: str) -> Any:
        """The next message of the program's that is of this kind; raises TimeoutError."""
        deadline = time.monotonic() + FIRST_REPORT_SECONDS
        while time.monotonic() < deadline:
            while b"\n" in self.received:
                line, _, self.received = self.received.partition(b"\n")
                if line.startswith(b"{") and kind in (message := json.loads(line)):
                    return message[kind]
            self.received += self.serial.recv(65536)
        raise TimeoutError(f"no {kind!r} in {FIRST_REPORT_SECONDS} s; last: {self.received[-200:]!r}")

    def press(self, *keys: str) -> None:
        for key in keys:
            request = {"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": key}]}}
            self.monitor.write(json.dumps(request) + "\n")
            self.monitor.flush()


def connected(path: Path) -> socket.socket:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.settimeout(FIRST_REPORT_SECONDS)
    return connection


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """The demonstration guest, booted from its own disk in emulation."""
    if os.geteuid() != 0 or not shutil.which("qemu-system-x86_64"):
        pytest.skip("building the guest's root needs root, booting it needs QEMU")
    disk = tmp_path / "disk.img"
    run(["cp", "--sparse=always", build_guest(IMAGES / "guest-demo.toml", Silent()), disk])
    ends = {name: f"unix:{tmp_path / name},server=on,wait=off" for name in ("serial", "monitor")}
    with ExitStack() as cleanup:
        process = start(
            [
                *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "Nehalem-v1", "-m", "512"),
                *("-drive", f"file={disk},format=raw,if=virtio", "-display", "none", "-nic", "none"),
                *("-serial", ends["serial"], "-qmp", ends["monitor"]),
            ]
        )
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        serial = cleanup.enter_context(connected(tmp_path / "serial"))
        monitor = cleanup.enter_context(connected(tmp_path / "monitor")).makefile("rw")
        monitor.write('{"execute": "qmp_capabilities"}\n')
        yield Machine(serial, monitor)


@pytest.mark.boot
def test_the_demonstration_guest_boots_and_its_program_lives(machine: Machine) -> None:
    first = machine.next("soul")
    assert (first["counter"], first["file_found"], first["file_sessions"]) == (1, True, 1)
    assert machine.next("done")["command"] == "pattern 200"
    machine.serial.sendall(b"verify\nwrite hello\n")
    machine.press("h", "i")
    answers = {done["command"]: done["result"] for done in (machine.next("done"), machine.next("done"))}
    assert answers == {"write hello": "written and on the disk", "verify": "200 MiB are as they were"}
    later = machine.next("soul")
    assert (later["boot_id"], later["session_id"]) == (first["boot_id"], first["session_id"])
    assert later["counter"] > first["counter"]
    assert (later["pattern_mib"], later["pattern_ok"], later["typed"]) == (200, True, "hi")
