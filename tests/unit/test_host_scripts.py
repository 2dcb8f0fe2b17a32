"""The host's small scripts around the viewer: which USB devices it may open."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from builder.places import HOSTOS
from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run, start

SCRIPTS = HOSTOS / "rootfs/usr/lib/soulpad"
RULES = HOSTOS / "rootfs/etc/udev/rules.d"
PROGRAMS = "/usr/lib/soulpad/programs/"


@pytest.fixture
def usb(tmp_path: Path) -> dict[str, str]:
    """A PC with the stick sdb behind a hub, as below /sys; the environment that shows it to the script."""
    disk = tmp_path / "sys/devices/pci0/usb1/1-1/1-1.2/1-1.2:1.0/host6/block/sdb"
    disk.mkdir(parents=True)
    (tmp_path / "sys/block").mkdir()
    (tmp_path / "sys/block/sdb").symlink_to(disk)
    (tmp_path / "stick-disk").write_text("sdb\n")
    return {"SYS": str(tmp_path / "sys"), "STICK_DISK": str(tmp_path / "stick-disk")}


def may_be_given(device: str, usb: dict[str, str]) -> bool:
    try:
        run([SCRIPTS / "usb-for-guest", device], env=usb)
    except ProgramFailed:
        return False
    return True


@pytest.mark.parametrize(
    ("device", "given"),
    [
        ("/devices/pci0/usb1/1-1/1-1.2", False),
        ("/devices/pci0/usb1/1-1", False),  # the hub that it is plugged into
        ("/devices/pci0/usb1/1-1/1-1.20", True),
        ("/devices/pci0/usb1/1-1/1-1.3", True),
        ("/devices/pci0/usb1/1-2", True),
    ],
)
def test_every_usb_device_but_the_stick_may_be_given_to_the_guest(
    device: str, given: bool, usb: dict[str, str]
) -> None:
    assert may_be_given(device, usb) == given


@pytest.mark.parametrize("stick", ["", "sdz\n", "../stick-disk\n"])
def test_nothing_is_given_while_nobody_knows_where_the_stick_is(stick: str, usb: dict[str, str]) -> None:
    Path(usb["STICK_DISK"]).write_text(stick)
    assert not may_be_given("/devices/pci0/usb1/1-2", usb)
    Path(usb["STICK_DISK"]).unlink()
    assert not may_be_given("/devices/pci0/usb1/1-2", usb)


def test_whoever_asks_for_a_usb_device_is_told_yes_and_waited_for() -> None:
    process = start([SCRIPTS / "usb-already-decided"], stdin=-1, stdout=-1)
    assert process.stdin and process.stdout
    process.stdin.write(b"1 7\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"SUCCESS\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def test_the_viewer_is_told_to_end_and_waited_for(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("")
    viewer = start(["sh", "-c", f"trap 'sleep 0.2; touch {tmp_path}/let-go; exit' TERM; while :; do sleep 0.05; done"])
    (tmp_path / "pid").write_text(f"{viewer.pid}\n")
    reaper = threading.Thread(target=viewer.wait)  # as the compositor does
    reaper.start()
    run([SCRIPTS / "end-viewer"], env={"VIEWER_PID": str(tmp_path / "pid")})
    assert (tmp_path / "let-go").exists()
    reaper.join()


@pytest.mark.parametrize("pid", [None, "", "4194304\n", "none\n"])
def test_where_no_viewer_runs_there_is_nobody_to_wait_for(pid: str | None, tmp_path: Path) -> None:
    if pid is not None:
        (tmp_path / "pid").write_text(pid)
    run([SCRIPTS / "end-viewer"], env={"VIEWER_PID": str(tmp_path / "pid")})


def test_every_script_that_a_rule_or_a_unit_calls_is_there_and_can_be_run() -> None:
    called = {
        word.strip("\"'")
        for path in [*RULES.iterdir(), HOSTOS / "rootfs/usr/lib/systemd/system/soulpad-viewer.service"]
        for word in path.read_text().replace('"', " ").replace("'", " ").split()
        if word.startswith("/usr/lib/soulpad/")
    }
    programs = {name for name in called if name.startswith(PROGRAMS)}
    assert "/usr/lib/soulpad/usb-for-guest" in called and f"{PROGRAMS}soulpad_viewer" in programs
    assert all(os.access(HOSTOS / "rootfs" / name.removeprefix("/"), os.X_OK) for name in called - programs)
    assert all((HOSTOS / "programs" / name.removeprefix(PROGRAMS) / "__main__.py").exists() for name in programs)
