"""One guest's memory and disk at four times: booted, after work, idle for a while, after other work. Emulated."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab.sparsecopy import copy_sparse
from builder.pc.emulator import QEMU
from builder.pc.monitor import Monitor
from builder.pc.qemu_process import end_process
from soulpad.base.errors import EmulatedPcFailed
from soulpad.base.progress import Progress
from soulpad.base.run import start
from soulpad.base.units import MIB

BOOT_SECONDS = 900
WORK_SECONDS = 900
IDLE_SECONDS = 20
FIRST_WORK = (
    "cd /tmp; git init -q r; cp -r /etc r/; cd r; git add -A; git -c user.name=a -c user.email=b@c commit -qm x;"
    " find /usr/share -type f | head -3000 | xargs cat | md5sum;"
    " python3 -c 'import json, sqlite3; x = [str(i) * 5 for i in range(300000)];"
    ' open("/tmp/o", "w").write(json.dumps(x))\''
)
SECOND_WORK = (
    "echo 'int main() {return 0;}' > /tmp/a.c; gcc -O2 -o /tmp/a /tmp/a.c; grep -r foo /usr/lib/python3 | wc -l;"
    " perl -e 'my %h; for (1..200000) {$h{$_} = $_ * 3} print scalar(keys %h)'"
)


@dataclass
class SerialShell:
    """The root shell at the guest's serial port."""

    port: socket.socket

    def wait_for(self, words: bytes, seconds: float) -> None:
        """Returns when the guest has said them. Raises EmulatedPcFailed."""
        heard, deadline = b"", time.monotonic() + seconds
        while words not in heard:
            if time.monotonic() > deadline:
                raise EmulatedPcFailed(f"the guest did not say {words!r}; its last words: {heard[-300:]!r}")
            try:
                heard = heard[-4096:] + self.port.recv(65536)
            except TimeoutError:
                continue

    def do(self, command: str) -> None:
        """Returns when the guest has done it."""
        self.port.sendall(f'{command}; echo DO""NE\n'.encode())
        self.wait_for(b"DONE", WORK_SECONDS)


def argv(folder: Path, disk: Path, memory: Path, memory_mib: int) -> list[str]:
    """QEMU with its memory in a file and its disk's writes in the page cache."""
    return [
        *("setpriv", "--pdeathsig", "KILL", QEMU, "-accel", "tcg", "-cpu", "max", "-m", str(memory_mib)),
        *("-object", f"memory-backend-file,id=ram,size={memory_mib}M,mem-path={memory},share=on"),
        *("-machine", "q35,memory-backend=ram", "-nic", "none", "-display", "none"),
        *("-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img")),
        *("-append", "root=/dev/vda rw console=ttyS0 quiet", "-drive", f"file={disk},if=virtio,format=raw"),
        *("-qmp", f"unix:{disk.parent / 'qmp'},server=on,wait=off"),
        *("-serial", f"unix:{disk.parent / 'serial'},server=on,wait=on"),
    ]


@contextmanager
def running(folder: Path, scratch: Path, memory_mib: int) -> Iterator[tuple[Monitor, SerialShell]]:
    """The guest, on a copy of the first disk."""
    disk, memory = scratch / "disk", scratch / "ram"
    copy_sparse(folder / "disk-1.img", disk)
    with memory.open("wb") as file:
        file.truncate(memory_mib * MIB)
    process, monitor = start(argv(folder, disk, memory, memory_mib)), Monitor()
    port = socket.socket(socket.AF_UNIX)
    try:
        port.settimeout(1)
        connect(port, scratch / "serial")
        monitor.connect(scratch / "qmp", lambda: process.poll() is None)
        yield monitor, SerialShell(port)
    finally:
        monitor.close()
        end_process(process)
        port.close()


def connect(port: socket.socket, path: Path) -> None:
    """Waits for QEMU to listen. Raises EmulatedPcFailed."""
    for _ in range(600):
        try:
            port.connect(str(path))
            return
        except OSError:
            time.sleep(0.1)
    raise EmulatedPcFailed("QEMU does not listen at its serial port")


def make_series(folder: Path, scratch: Path, memory_mib: int, progress: Progress) -> None:
    """``ram-1.img`` to ``ram-4.img`` in ``scratch``, and the disks that belong to them, ``ram-disk-1.img`` ...."""
    with running(folder, scratch, memory_mib) as (monitor, shell):
        shell.wait_for(b"root@guest", BOOT_SECONDS)
        time.sleep(5)
        for number, work in enumerate(("", FIRST_WORK, f"sleep {IDLE_SECONDS}", SECOND_WORK), 1):
            progress.step(f"memory {number} of 4: {work[:40] or 'booted'}")
            if work:
                shell.do(work)
            monitor.execute("stop")
            copy_sparse(scratch / "ram", scratch / f"ram-{number}.img")
            copy_sparse(scratch / "disk", scratch / f"ram-disk-{number}.img")
            monitor.execute("cont")
        monitor.execute("quit")
