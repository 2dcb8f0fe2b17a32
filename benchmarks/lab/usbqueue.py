"""A throttled device with a queue before it as a USB disk has one: a few short transfers under way, reads go first.

The throttle alone takes all that is handed to it and serves it in order: behind 100 MB that are being written back, a
guest's flush would wait 10 s. The kernel keeps a real stick's queue short, so what the guest asks for comes in between.
Source: Linux drivers/usb/storage/scsiglue.c (240 sectors a transfer); Documentation/ABI/stable/sysfs-block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.lab.storedevice import losetup_argv
from soulpad.base.run import run

# In this order: without a scheduler the second sets how many transfers are under way. That is the least the kernel
# takes; usb-storage has one.
SETTINGS = (
    ("scheduler", "none"),
    ("nr_requests", "4"),
    ("max_sectors_kb", "120"),
    ("scheduler", "mq-deadline"),
    ("rotational", "1"),
    ("wbt_lat_usec", "75000"),
)


@contextmanager
def usb_queue(throttled: Path, sysfs: Path = Path("/sys/block")) -> Iterator[Path]:
    """A device over ``throttled``, with that queue. Afterwards it is detached."""
    with ExitStack() as cleanup:
        device = Path(run(losetup_argv(throttled)).stdout.strip())
        cleanup.callback(run, ["losetup", "--detach", device])
        set_queue(sysfs / device.name / "queue")
        yield device


def set_queue(folder: Path) -> None:
    """Sets what the kernel has in ``folder``: not every one slows writing back down for the sake of reads."""
    for name, value in SETTINGS:
        if (folder / name).exists():
            (folder / name).write_text(value)
