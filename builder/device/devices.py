"""The disks of this machine, and which of them are sticks that may be written.

``builder.device.diskfacts`` gathers, ``builder.device.diskrules`` decides, this raises.
"""

from __future__ import annotations

from pathlib import Path

from builder.device import diskfacts
from builder.device.diskrules import StickDevice, judged, require_writable

__all__ = ["StickDevice", "all_disks", "resolve"]


def resolve(named: str, allow_loop: bool = False) -> StickDevice:
    """The stick that the user named by ``/dev/disk/by-id/...`` or ``/dev/sdX``; raises DeviceRefused."""
    return require_writable(diskfacts.of_path(Path(named)), allow_loop)


def all_disks(allow_loop: bool = False) -> list[StickDevice]:
    """Every whole disk of this machine, with the verdict on each."""
    return [judged(facts, allow_loop) for facts in diskfacts.of_all_disks()]
