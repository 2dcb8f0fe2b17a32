"""A checkpoint that was made while the guest had a USB device of the PC, resumed where nobody has that device.

QEMU's side is real; at the other end of its usbredir port is a disk of our own, which only says what it is.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from builder.pc.emulator import emulator_for
from builder.pc.machine import Window
from builder.pc.monitor import Monitor
from soulpad.base.run import start

pytestmark = pytest.mark.component

PATIENCE_SECONDS = 60
PORT = "/machine/peripheral/port"

# The usbredir protocol (usbredirproto.h): a packet is type, length and id, then its body.
HELLO, DEVICE_CONNECT, INTERFACE_INFO, EP_INFO = 0, 1, 4, 5
# What QEMU's xHCI wants: largest packets are told, ids have 64 bits once both have said hello, lengths 32.
CAPABILITIES = 1 << 4 | 1 << 5 | 1 << 6
ENDPOINTS = 32  # 16 out, 16 in
CONTROL, BULK, NONE = 0, 2, 255


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack("<III" if kind == HELLO else "<IIQ", kind, len(body), 0) + body


def disk_says() -> bytes:
    """What a client says that has a disk: high speed, one interface, two bulk endpoints."""
    kinds = [NONE] * ENDPOINTS
    kinds[0] = kinds[16] = CONTROL
    kinds[2] = kinds[17] = BULK
    intervals = interfaces = bytes(ENDPOINTS)
    largest = struct.pack(f"<{ENDPOINTS}H", *(512 if kind == BULK else 64 for kind in kinds))
    interface = struct.pack("<I", 1)
    for number in (0, 0x08, 0x06, 0x50):  # mass storage, SCSI, bulk-only
        interface += bytes([number]) + bytes(ENDPOINTS - 1)
    return (
        packet(HELLO, b"a disk".ljust(64, b"\0") + struct.pack("<I", CAPABILITIES))
        + packet(EP_INFO, bytes(kinds) + intervals + interfaces + largest)
        + packet(INTERFACE_INFO, interface)
        + packet(DEVICE_CONNECT, struct.pack("<BBBBHH", 2, 0, 0, 0, 0x0781, 0x5567))
    )


@contextmanager
def machine(folder: Path, *more: str | Path) -> Iterator[Monitor]:
    """A machine whose guest is a BIOS without a disk, with one port for a USB device of the PC."""
    emulator = emulator_for(Window.NONE)
    for name in ("monitor", "port"):
        (folder / name).unlink(missing_ok=True)
    with ExitStack() as cleanup:
        process = start(
            [
                *emulator.argv,
                *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg", "-m", "32"),
                *("-qmp", f"unix:{folder / 'monitor'},server=on,wait=off"),
                *("-chardev", f"socket,id=client,path={folder / 'port'},server=on,wait=off"),
                *("-device", "qemu-xhci,id=usb", "-device", "usb-redir,id=port,chardev=client,bus=usb.0,port=2"),
                *more,
            ],
            env=emulator.env,
        )
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        monitor = Monitor()
        cleanup.callback(monitor.close)
        monitor.connect(folder / "monitor", lambda: process.poll() is None)
        yield monitor


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def has_device(monitor: Monitor) -> bool:
    return bool(monitor.execute("qom-get", path=PORT, property="attached"))


def save(monitor: Monitor, state: Path) -> None:
    monitor.execute("stop")
    monitor.execute("migrate", uri=f"file:{state}")
    wait_until(lambda: monitor.execute("query-migrate")["status"] == "completed", "the state is saved")


def load(monitor: Monitor, state: Path) -> None:
    monitor.execute("migrate-incoming", uri=f"file:{state}")
    wait_until(lambda: monitor.execute("query-status")["status"] in ("running", "paused"), "the state is loaded")
    monitor.execute("cont")


def test_a_device_that_a_checkpoint_holds_is_unplugged_when_it_is_resumed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with machine(tmp_path) as monitor, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "port"))
        client.sendall(disk_says())
        wait_until(lambda: has_device(monitor), "the guest has the device")
        save(monitor, state)
        assert has_device(monitor), "it is in the checkpoint"
    with machine(tmp_path, "-incoming", "defer") as monitor, socket.socket(socket.AF_UNIX) as client:
        load(monitor, state)
        wait_until(lambda: not has_device(monitor), "the device is unplugged")
        assert monitor.execute("query-status")["status"] == "running"
        client.connect(str(tmp_path / "port"))
        client.sendall(disk_says())
        wait_until(lambda: has_device(monitor), "the port takes another one")


def test_a_viewer_that_goes_away_unplugs_its_device(tmp_path: Path) -> None:
    with machine(tmp_path) as monitor:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "port"))
            client.sendall(disk_says())
            wait_until(lambda: has_device(monitor), "the guest has the device")
        wait_until(lambda: not has_device(monitor), "the device is unplugged")
