"""In the host's root: the other side of the resume benchmark, libvirt's managed save of the same machine.

Where libvirt puts the image (``lib/qemu/save`` below its root) is the store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import libvirt

from benchmarks.lab.figures import Figures
from benchmarks.lab.guest import GuestSerial
from benchmarks.lab.resume_request import Request
from benchmarks.lab.stockdomain import stock_xml
from benchmarks.lab.store import Measurement, Store
from soulpad.base.reflink import clone
from soulpad.session.parcels import Parcel, parcels_in
from soulpad.store.checkpoint import disk_name

FOLDER = "managed-save"


def measure(request: Request, store: Store, libvirt_root: Path, port: GuestSerial) -> list[Figures]:
    """One entry of figures a run; raises when a resumed guest is not the one that was saved."""
    (parcel,) = parcels_in(store.root)
    save_into(store, libvirt_root)
    connection = libvirt.open(f"qemu:///embed?root={libvirt_root}")
    domain = connection.defineXML(stock_xml(parcel.description, prepared_disk(parcel, store), port.device))
    domain.create()
    port.boot()
    port.fill(request.touched_mib)
    runs = [one_run(domain, store, port) for _ in range(request.runs)]
    domain.destroy()
    return runs


def one_run(domain: Any, store: Store, port: GuestSerial) -> Figures:
    """Save, resume, check all memory."""
    saved = save(domain, store)
    resumed = resume(domain, store, port)
    port.verify()
    return {
        "resume_seconds": resumed.seconds,
        "read_bytes_before_output": resumed.traffic.read_bytes,
        "suspend_seconds": saved.seconds,
        "suspend_written_bytes": saved.traffic.written_bytes,
    }


def save(domain: Any, store: Store) -> Measurement:
    """Until everything is on the device."""
    with store.measured() as result:
        domain.managedSave(0)
        store.sync()
    return result


def resume(domain: Any, store: Store, port: GuestSerial) -> Measurement:
    """From the mounted, cold store to the guest's first output."""
    before = port.last_report()
    store.make_cold()
    with store.measured() as result:
        domain.create()  # libvirt.org: a managed save image, if there is one, is what a start continues from
        port.first_output(before)
    return result


def save_into(store: Store, libvirt_root: Path) -> None:
    """Lets libvirt's folder of save images lie in the store."""
    (store.root / FOLDER / "save").mkdir(mode=0o711, parents=True)
    (store.root / FOLDER).chmod(0o711)
    link = libvirt_root / "lib/qemu/save"
    if link.is_dir() and not link.is_symlink():
        link.rmdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(store.root / FOLDER / "save")


def prepared_disk(parcel: Parcel, store: Store) -> Path:
    """The machine's own disk, as the parcel's first checkpoint has it."""
    target = store.root / FOLDER / disk_name(0)
    clone(parcel.paths.checkpoint(min(parcel.generations())) / disk_name(0), target)
    return target
