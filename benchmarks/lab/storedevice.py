"""A store on a block device of its own: made as a stick's store is, in a file behind a loop device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.lab.throttle import throttle
from builder.debian.toolbox import Toolbox
from builder.store.xfs import Tree, make_xfs
from soulpad.base.run import run
from soulpad.session import volume
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES, STORE_LABEL

# What the kernel gives a USB disk. (A loop device takes over more from the disk that its file lies on.)
USB_DISK_READ_AHEAD_KIB = 128
# Ours is what the product sets on the unlocked store.
READ_AHEAD_KIB = {"ours": volume.READ_AHEAD_KIB, "managed_save": USB_DISK_READ_AHEAD_KIB}


def losetup_argv(image: Path) -> list[str]:
    """Sectors as the unlocked store has them; direct, so that the file is not cached once more below the device."""
    sectors = str(ENCRYPTION_SECTOR_BYTES)
    return ["losetup", "--find", "--show", "--sector-size", sectors, "--direct-io=on", str(image)]


@contextmanager
def store_device(folder: Path, size_bytes: int, tree: Tree, tools: Toolbox) -> Iterator[Path]:
    """The device, not mounted. Afterwards it is detached and unthrottled, and the file is gone."""
    image = folder / "store.img"
    with ExitStack() as cleanup:
        cleanup.callback(image.unlink, missing_ok=True)
        make_xfs(image, size_bytes, tree, STORE_LABEL, tools.argv)
        device = Path(run(losetup_argv(image)).stdout.strip())
        cleanup.callback(run, ["losetup", "--detach", device])
        cleanup.callback(throttle, device, None)
        yield device


def set_read_ahead(device: Path, kib: int) -> None:
    """Lets the kernel read so much ahead on a device."""
    Path("/sys/block", device.name, "queue/read_ahead_kb").write_text(str(kib))
