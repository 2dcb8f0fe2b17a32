"""The viewer on the PC's screen: a unit of its own, which may die and be started again without the VM noticing."""

from __future__ import annotations

import grp
import os
import time
from pathlib import Path

from soulpad.base.run import run

SOCKET_FOLDER = Path("/run/soulpad-vm")
SPICE_SOCKET = SOCKET_FOLDER / "spice.sock"
UNIT = "soulpad-viewer.service"
GROUP = "soulpad-viewer"
SOCKET_WAIT_SECONDS = 10.0


def prepare_socket_folder(user_id: int) -> None:
    """QEMU makes its socket here; the viewer's group may pass through."""
    SOCKET_FOLDER.mkdir(mode=0o750, exist_ok=True)
    SOCKET_FOLDER.chmod(0o750)
    os.chown(SOCKET_FOLDER, user_id, grp.getgrnam(GROUP).gr_gid)


def show() -> None:
    """Lets the viewer's user connect and starts the unit; returns at once."""
    deadline = time.monotonic() + SOCKET_WAIT_SECONDS
    while not SPICE_SOCKET.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.chown(SPICE_SOCKET, -1, grp.getgrnam(GROUP).gr_gid)
    SPICE_SOCKET.chmod(0o660)
    run(["systemctl", "start", "--no-block", UNIT])


def hide() -> None:
    """Ends the viewer, so that the console has the screen again."""
    run(["systemctl", "stop", UNIT])
