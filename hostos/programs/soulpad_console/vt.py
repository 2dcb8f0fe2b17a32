"""The Linux console beneath the terminal: Caps Lock, and getting the screen back. All of it best effort: on
anything that is not a virtual terminal the calls fail and mean nothing. Numbers from linux/kd.h and linux/vt.h."""

from __future__ import annotations

import fcntl
import os
import struct

KDGETLED, KDGKBLED = 0x4B31, 0x4B64
CAPS_LOCK = 0x04
KDSETMODE, KD_TEXT = 0x4B3A, 0x00
KDGKBMODE, KDSKBMODE = 0x4B44, 0x4B45
K_UNICODE, K_OFF = 0x03, 0x04
VT_GETSTATE, VT_ACTIVATE = 0x5603, 0x5606


def caps_lock(terminal: int) -> bool:
    """Whether Caps Lock is on: as the keyboard's state, or (layouts that make it a lock of another kind) its lamp."""
    return any(_byte(terminal, query) & CAPS_LOCK for query in (KDGKBLED, KDGETLED))


def _byte(terminal: int, query: int) -> int:
    try:
        return fcntl.ioctl(terminal, query, b"\0")[0]
    except OSError:
        return 0


def bring_to_front(terminal: int) -> None:
    """Shows the terminal's own virtual terminal in text mode, with a keyboard that types characters again.

    A compositor that was killed may have left it in graphics mode and the keyboard switched off.
    """
    try:
        number = int(os.ttyname(terminal).removeprefix("/dev/tty"))
        active = struct.unpack("HHH", fcntl.ioctl(terminal, VT_GETSTATE, bytes(6)))[0]
        if active != number:
            fcntl.ioctl(terminal, VT_ACTIVATE, number)
    except (OSError, ValueError):
        return
    try:
        fcntl.ioctl(terminal, KDSETMODE, KD_TEXT)
        mode = struct.unpack("i", fcntl.ioctl(terminal, KDGKBMODE, bytes(4)))[0]
        if mode == K_OFF:
            fcntl.ioctl(terminal, KDSKBMODE, K_UNICODE)
    except OSError:
        return
