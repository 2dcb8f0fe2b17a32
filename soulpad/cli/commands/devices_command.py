"""``soulpad devices``: the USB disks that could be written, and why others could not."""

from __future__ import annotations

import argparse
from typing import Any

from rich.markup import escape
from rich.table import Table

from builder.device.devices import StickDevice, all_disks
from soulpad.base.units import format_bytes
from soulpad.cli.output import emit, people

EPILOG = """example: soulpad devices

exit codes: 0 listed (there may be none)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="this PC's own disks too, with the reason for each refusal")


def run(arguments: argparse.Namespace) -> int:
    shown = [disk for disk in all_disks() if arguments.all or disk.removable]
    if arguments.json:
        emit({"devices": [as_fields(disk) for disk in shown]})
    elif shown:
        people.print(as_table(shown))
    else:
        people.print("no USB disk is plugged in (all disks, with what speaks against each: soulpad devices --all)")
    return 0


def as_fields(disk: StickDevice) -> dict[str, Any]:
    """A disk as ``--json`` gives it."""
    return {
        "path": str(disk.path),
        "by_id": str(disk.by_id) if disk.by_id else None,
        "model": disk.model,
        "serial": disk.serial,
        "size_bytes": disk.size_bytes,
        "sector_bytes": disk.sector_bytes,
        "bus": disk.bus,
        "removable": disk.removable,
        "mounted": list(disk.mounted),
        "writable": disk.writable,
        "reasons": [refusal.because for refusal in disk.refusals],
    }


def as_table(disks: list[StickDevice]) -> Table:
    """The disks for people, those that can be written first."""
    table = Table("disk", "size", "model", "can be written?", "name to give to soulpad write", box=None, pad_edge=False)
    for disk in sorted(disks, key=lambda item: not item.writable):
        verdict = "yes" if disk.writable else f"no: it {disk.refusals[0].because}"
        name = str(disk.write_path) if disk.writable else ""
        table.add_row(str(disk.path), format_bytes(disk.size_bytes), escape(disk.model), escape(verdict), name)
    return table
