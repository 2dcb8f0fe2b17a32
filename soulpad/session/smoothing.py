"""Keeps a parcel's files from falling into ever more extents, so that cloning them stays quick.

What a guest writes here and there after a clone takes blocks elsewhere, one extent a place, and never comes together
again by itself; each extent makes every later clone longer, and one of them stands inside the virtual machine's pause
(docs/decisions/0007-extents.md). So after each checkpoint beside a session, when all of live/ is shared with it, the
windows with the most extents get blocks of their own in one piece. Their contents do not change, for the guest either.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path

from soulpad.base.extents import extents_by_window, unshare
from soulpad.base.units import KIB, MIB
from soulpad.session import space
from soulpad.session.live import running_files
from soulpad.session.parcels import Parcel

log = logging.getLogger("soulpad.session")

WINDOW_BYTES = 128 * KIB  # the file is locked while one is written: on a stick of 10 MB/s a guest may wait 13 ms
AIM_EXTENTS = 8000  # of one file: cloned in 0.1 to 0.2 s
LEAST_IN_WINDOW = 4  # fewer are not worth a window's writing, and where the guest writes again and again they come back
MOST_BYTES = 32 * MIB  # of one file at one checkpoint


def smooth(parcel: Parcel, go_on: Callable[[], bool] = lambda: True, aim_extents: int = AIM_EXTENTS) -> int:
    """Smooths what a running session writes; returns the bytes that were written anew. What was shared takes room once
    more: where that is short, or the file system cannot do it, the files stay as they are. ``go_on`` is asked before
    each window."""
    if space.free_bytes(parcel.paths.root) < space.START_ROOM_BYTES:
        return 0
    return sum(smooth_file(parcel.paths.live / name, go_on, aim_extents) for name in running_files(parcel))


def smooth_file(path: Path, go_on: Callable[[], bool], aim_extents: int = AIM_EXTENTS) -> int:
    """The same for one file, which may be mapped and written meanwhile."""
    written_bytes = 0
    try:
        windows = windows_to_smooth(extents_by_window(path, WINDOW_BYTES), aim_extents)
        descriptor = os.open(path, os.O_RDWR)
        try:
            for window in takewhile(lambda _: go_on(), windows):
                unshare(descriptor, window * WINDOW_BYTES, WINDOW_BYTES)
                written_bytes += WINDOW_BYTES
        finally:
            os.close(descriptor)
    except OSError as error:
        log.warning("%s stays in pieces: %s", path.name, error)
    return written_bytes


def windows_to_smooth(extents: Mapping[int, int], aim_extents: int = AIM_EXTENTS) -> list[int]:
    """Which windows, in order, from how many extents begin in each: those with the most, until the file is down to
    ``aim_extents``, the rest is not worth it, or MOST_BYTES are reached."""
    surplus = sum(extents.values()) - aim_extents
    chosen = []
    for window in sorted(extents, key=lambda number: (-extents[number], number))[: MOST_BYTES // WINDOW_BYTES]:
        if surplus <= 0 or extents[window] < LEAST_IN_WINDOW:
            break
        chosen.append(window)
        surplus -= extents[window] - 1
    return sorted(chosen)
