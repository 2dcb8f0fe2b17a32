"""Room on the stick: what a session needs before it starts, while it runs, and when it is suspended.

Each page of memory that the guest writes for the first time after a checkpoint takes a new block of the store. When
there is none, QEMU is killed (SIGBUS on its memory). So a session that fills the stick is suspended before that, and
a reserve, a file of nothing, gives the suspend its room.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from soulpad.base.errors import NoSpace, SoulpadError
from soulpad.base.units import MIB, format_bytes
from soulpad.session import retention
from soulpad.session.parcels import Parcel
from soulpad.session.report import report
from soulpad.store.layout import RESERVE

STATE_ROOM_BYTES = 32 * MIB  # a device state of up to some 10 MB, and what the file system needs for itself
RESERVE_BYTES = 64 * MIB
START_ROOM_BYTES = 256 * MIB
RUNNING_ROOM_BYTES = 128 * MIB
LOOK_SECONDS = 1.0


def free_bytes(root: Path) -> int:
    """What can be written in the store until it is full."""
    return shutil.disk_usage(root).free


def keep_reserve(root: Path) -> None:
    """Makes the reserve where there is room for it; without it the rest works as well."""
    reserve = root / RESERVE
    if (reserve.exists() and reserve.stat().st_size == RESERVE_BYTES) or free_bytes(root) < 4 * RESERVE_BYTES:
        return
    with reserve.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        os.fsync(file.fileno())


def make_room(parcel: Parcel, wanted_bytes: int) -> bool:
    """Removes checkpoints that can be done without until so many bytes are free; whether they are. The current one
    and the newest whole one beside it stay (``retention.sacrifices``), and so does what is damaged."""
    root = parcel.paths.root
    if free_bytes(root) >= wanted_bytes:
        return True
    try:
        current = parcel.current().generation
    except (SoulpadError, OSError):  # what else there is may be the only way back
        return False
    for generation in retention.sacrifices(parcel.whole_checkpoints(), current):
        retention.remove(parcel, generation, at_once=True)
        if free_bytes(root) >= wanted_bytes:
            return True
    return False


def make_room_to_save(parcel: Parcel) -> bool:
    """As ``make_room`` for a suspend, which may take the reserve too."""
    if make_room(parcel, STATE_ROOM_BYTES):
        return True
    reserve = parcel.paths.root / RESERVE
    retention.free(reserve)
    reserve.unlink(missing_ok=True)
    return free_bytes(parcel.paths.root) >= STATE_ROOM_BYTES


def require_room_beside(parcel: Parcel) -> None:
    """A checkpoint beside the running session must not bring its end nearer: raises NoSpace where room is short."""
    if not make_room(parcel, START_ROOM_BYTES):
        free = format_bytes(free_bytes(parcel.paths.root))
        raise NoSpace(f"only {free} are free on the stick", "remove files inside the parcel")


class RoomGuard:
    """Watches the room while a session runs, and calls ``end_session`` once there is too little left to go on.

    ``go_on`` is called whenever there is room, for a machine that stands still because a write found none.
    """

    def __init__(
        self, parcel: Parcel, end_session: Callable[[], None], go_on: Callable[[], None] = lambda: None
    ) -> None:
        self._parcel = parcel
        self._end_session = end_session
        self._go_on = go_on
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="room", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more calls from here on."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if not make_room(self._parcel, RUNNING_ROOM_BYTES):
                report("stick-full", free_bytes=free_bytes(self._parcel.paths.root))
                self._end_session()
                return
            self._go_on()
