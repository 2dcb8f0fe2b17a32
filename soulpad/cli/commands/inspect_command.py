"""``soulpad inspect``: what is on a stick or an image."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from builder.inspect import CheckpointView, Inspection, ParcelView, inspect
from builder.store.luks import KeySlot
from soulpad.base.errors import StoreDamaged
from soulpad.base.secrets import (
    Secret,
    key_from_file,
    passphrase_from_descriptor,
    passphrase_from_file,
    prompt_passphrase,
)
from soulpad.base.units import format_bytes
from soulpad.cli.output import emit, people
from soulpad.store.cpuclass import class_of

EPILOG = """example: soulpad inspect stick.img
         soulpad inspect /dev/sdb --ask-passphrase

Without a secret it says what everybody sees who holds the stick; with one, the parcels and their checkpoints too.
Nothing is written and nothing is decrypted to a disk. What a power cut left in the file system's log is not seen.

exit codes: 0 shown, 12 the secret opens no key slot, 30 not a stick or an image of one, 51 something on it is damaged
            (the rest is shown)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="IMAGE|DEVICE", type=Path, help="an image file or a device")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--ask-passphrase", action="store_true", help="ask for the passphrase")
    secret.add_argument("--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from a file")
    secret.add_argument("--passphrase-fd", metavar="N", type=int, help="read the passphrase from an open descriptor")
    secret.add_argument("--key-file", metavar="FILE", type=Path, help="unlock with a key file")


def run(arguments: argparse.Namespace) -> int:
    found = inspect(arguments.path, secret_of(arguments))
    if arguments.json:
        emit(as_fields(found))
    else:
        show(found)
    return StoreDamaged.exit_code if found.problems else 0


def secret_of(arguments: argparse.Namespace) -> Secret | None:
    """The secret that was named, if any."""
    if arguments.ask_passphrase:
        return prompt_passphrase()
    if arguments.passphrase_file:
        return passphrase_from_file(arguments.passphrase_file)
    if arguments.passphrase_fd is not None:
        return passphrase_from_descriptor(arguments.passphrase_fd)
    return key_from_file(arguments.key_file) if arguments.key_file else None


def as_fields(found: Inspection) -> dict[str, Any]:
    """The inspection for ``--json``."""
    return {
        "path": str(found.path),
        "stick_id": found.layout.stick_id,
        "total_bytes": found.layout.total_bytes,
        "sector_bytes": found.layout.sector_bytes,
        "partitions": [asdict(partition) for partition in found.layout.partitions],
        "hosts": [asdict(host) for host in found.hosts],
        "description": asdict(found.description) if found.description else None,
        "store": asdict(found.header) if found.header else None,
        "parcels": None if found.parcels is None else [_parcel_fields(parcel) for parcel in found.parcels],
        "problems": list(found.problems),
    }


def _parcel_fields(parcel: ParcelView) -> dict[str, Any]:
    return {
        "uuid": parcel.uuid,
        "name": parcel.description.name if parcel.description else None,
        "machine": parcel.description.machine.to_fields() if parcel.description else None,
        "current": next((view.generation for view in parcel.checkpoints if view.current), None),
        "checkpoints": [_checkpoint_fields(view) for view in parcel.checkpoints],
        "in_session": parcel.in_session,
    }


def _checkpoint_fields(view: CheckpointView) -> dict[str, Any]:
    manifest = view.manifest
    return {
        "generation": view.generation,
        "current": view.current,
        "kind": manifest.kind if manifest else None,
        "parent": manifest.parent if manifest else None,
        "taken_at": manifest.taken_at if manifest else None,
        "occasion": manifest.occasion if manifest else None,
        "size_bytes": view.size_bytes,
        "allocated_bytes": view.allocated_bytes,
        "accelerator": manifest.suspended.accelerator if manifest and manifest.suspended else None,
        "vmm": manifest.suspended.vmm if manifest and manifest.suspended else None,
    }


def show(found: Inspection) -> None:
    """The inspection for people."""
    version = f", host {found.description.host_version}" if found.description else ""
    size = format_bytes(found.layout.total_bytes)
    people.print(
        f"[bold]SoulPad stick {found.layout.stick_id}[/bold] ({size}{escape(version)}) in {escape(str(found.path))}"
    )
    people.print(_partitions_table(found))
    if found.header:
        people.print("\nOpens with: " + "; ".join(slot_in_words(slot) for slot in found.header.slots))
    if found.parcels is None:
        count = len(found.description.parcels) if found.description else 0
        people.print(f"{count} parcel(s), locked: see inside with --ask-passphrase")
    for parcel in found.parcels or ():
        _show_parcel(parcel)
    for problem in found.problems:
        people.print(f"[red]damaged:[/red] {escape(problem)}")


def slot_in_words(slot: KeySlot) -> str:
    """A key slot for people."""
    cost = f"{slot.kdf}, {format_bytes(slot.memory_kib * 1024)}" if slot.memory_kib else slot.kdf
    return f"{(slot.role or 'an unknown secret').replace('-', ' ')} (slot {slot.number}, {cost})"


def cpu_in_words(model: str) -> str:
    """A CPU model for people: its class, where it has one."""
    known = class_of(model)
    return f"the class {known.name} ({model})" if known else model


def _partitions_table(found: Inspection) -> Table:
    images = {host.role: host.image_bytes for host in found.hosts}
    table = Table("partition", "at", "size", "", box=None, pad_edge=False)
    for partition in found.layout.partitions:
        image_bytes = images.get(partition.role)
        note = "" if image_bytes is None else f"host of {format_bytes(image_bytes)}" if image_bytes else "empty"
        at, size = format_bytes(partition.offset_bytes), format_bytes(partition.size_bytes)
        table.add_row(partition.role, at, size, note)
    return table


def _show_parcel(parcel: ParcelView) -> None:
    name = parcel.description.name if parcel.description else "(damaged)"
    people.print(f"\n[bold]Parcel {escape(name)}[/bold]  {parcel.uuid}")
    if parcel.description:
        machine = parcel.description.machine
        cpu = escape(cpu_in_words(machine.cpu_model))
        people.print(f"  {machine.memory_mib} MiB of memory, {machine.vcpus} CPU(s) of {cpu}")
    if parcel.in_session:
        people.print("  a session's scratch is there: it runs now, or did not end in order")
    table = Table("", "checkpoint", "kind", "made", "taken", "size", "in the store", box=None, pad_edge=False)
    for view in parcel.checkpoints:
        kind = view.manifest.kind if view.manifest else "damaged"
        made = view.manifest.occasion if view.manifest else ""
        taken = datetime.fromtimestamp(view.manifest.taken_at).isoformat(" ", "minutes") if view.manifest else ""
        mark = "current" if view.current else ""
        sizes = format_bytes(view.size_bytes), format_bytes(view.allocated_bytes)
        table.add_row(mark, str(view.generation), kind, made, taken, *sizes)
    people.print(table)
