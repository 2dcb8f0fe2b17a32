"""While the passphrase is typed, what the session will need of the host is read from the stick into memory.

In the order of need: the programs that open the store, QEMU, its modules and ROMs, the viewer; each with the libraries
that it links. It ends when the store is open: from then on the stick is the session's. The I/O class stays as it is:
until the passphrase is there nothing that the person waits for reads the stick, and one block is soon read. Nothing
fails because of it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path

from soulpad.base.units import KIB, MIB
from soulpad.session.elf import Linkage, linkage_of
from soulpad.session.thispc import memory_facts

log = logging.getLogger("soulpad.session")

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LIBRARY_FOLDERS = (LIBRARIES, "usr/lib", "usr/lib64")
WANTED = (
    "usr/sbin/cryptsetup",
    "usr/bin/mount",
    "usr/sbin/xfs_growfs",
    "usr/bin/cp",
    "usr/bin/qemu-system-x86_64",
    f"{LIBRARIES}/qemu/*spice*.so",
    f"{LIBRARIES}/qemu/hw-display-virtio-*.so",
    f"{LIBRARIES}/qemu/hw-usb-redirect.so",
    "usr/share/seabios/bios-256k.bin",
    "usr/share/seabios/vgabios-virtio.bin",
    "usr/share/qemu/kvmvapic.bin",
    "usr/bin/systemctl",
    "usr/bin/cage",
    "usr/bin/python3",
    f"{LIBRARIES}/libspice-client-gtk-3.0.so.5",
    "usr/lib/python3/dist-packages/gi/_gi.*.so",
    f"{LIBRARIES}/girepository-1.0/G*.typelib",
    f"{LIBRARIES}/girepository-1.0/Spice*.typelib",
)
BLOCK_BYTES = 256 * KIB  # a squashfs block of the host: it is unpacked as a whole
# For the passphrase's Argon2 (256 MiB), the host, and what of the machine's memory a resume touches.
KEPT_FREE_MIB = 512
SHARE_OF_REST = 2
NICE = 19


@contextmanager
def while_asking(root: Path = Path("/")) -> Iterator[None]:
    """Warms until the block ends. On a PC with too little memory: not, or not all."""
    stopping = threading.Event()
    budget_bytes = affordable_bytes(memory_facts()["available_mib"])
    threading.Thread(target=_quietly, args=[root, budget_bytes, stopping], name="warming", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()


def affordable_bytes(available_mib: int) -> int:
    """How much may be read: what is dropped again before it is used was read for nothing."""
    return max(0, available_mib - KEPT_FREE_MIB) * MIB // SHARE_OF_REST


def warm(root: Path, budget_bytes: int, stopping: threading.Event) -> int:
    """Reads what is wanted below ``root`` into the page cache; returns how many bytes."""
    buffer, done = bytearray(BLOCK_BYTES), 0
    for path in wanted_files(root):
        with suppress(OSError), path.open("rb", buffering=0) as file:
            while done < budget_bytes and not stopping.is_set() and (count := file.readinto(buffer)):
                done += count
        if done >= budget_bytes or stopping.is_set():
            break
    return done


def wanted_files(root: Path) -> Iterator[Path]:
    """What is wanted and there, in the order of need, each library once and after what first needs it."""
    seen: set[Path] = set()
    for pattern in WANTED:
        for path in sorted(root.glob(pattern)):
            yield from _with_libraries(root, path, seen)


def _with_libraries(root: Path, path: Path, seen: set[Path]) -> Iterator[Path]:
    if path in seen:
        return
    seen.add(path)
    yield path
    linkage = linkage_in(path)
    for name in linkage.needed:
        folders = [folder.lstrip("/") for folder in linkage.folders] + list(LIBRARY_FOLDERS)
        found = next((root / folder / name for folder in folders if (root / folder / name).is_file()), None)
        if found:
            yield from _with_libraries(root, found, seen)


def linkage_in(path: Path) -> Linkage:
    """What a file links; nothing for one that cannot be read."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as image:
            return linkage_of(image)
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return Linkage()


def _quietly(root: Path, budget_bytes: int, stopping: threading.Event) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # on Linux a thread has its own
        log.info("warmed %d bytes", warm(root, budget_bytes, stopping))
    except Exception:
        log.warning("the host is not warmed", exc_info=True)
