"""``soulpad write``: an image to one device, or to several one after another."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builder.device.devices import StickDevice, resolve
from builder.device.stickcontents import checked_image
from builder.write import WriteOptions, WriteReport, require_room, write_image
from soulpad.base.errors import DeviceRefused, Interrupted, SoulpadError
from soulpad.base.units import format_bytes
from soulpad.cli.erasing import confirm
from soulpad.cli.main import complain
from soulpad.cli.output import emit, people, progress

EPILOG = """example: soulpad write stick.img /dev/disk/by-id/usb-SanDisk_Ultra_4C530001-0:0
         soulpad write stick.img /dev/sdb /dev/sdc --yes

All that a device holds is lost. A device is refused unless it is a USB or removable disk that nobody uses.
With several devices, one that fails does not keep the others from being written.

exit codes: 0 written and verified, 2 not confirmed, 20 device refused, 21 device too small, 22 device gave errors,
            30 not a whole stick image, 31 what was read back differs, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", type=Path, help="a stick image, as soulpad create makes it")
    parser.add_argument("devices", metavar="DEVICE", nargs="+", help="a whole disk: /dev/disk/by-id/... or /dev/sdX")
    parser.add_argument("--yes", action="store_true", help="do not ask before erasing")
    parser.add_argument("--no-verify", action="store_true", help="do not read back what was written")
    # for the tests of the project (docs/testing.md): a loop device is never somebody's stick
    parser.add_argument("--allow-loop-device", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    devices = checked_devices(arguments)
    if not arguments.yes:
        for device in devices:
            confirm(device)
    outcomes = [outcome(arguments, device) for device in devices]
    if arguments.json:
        emit({"image": str(arguments.image), "devices": [fields for fields, _ in outcomes]})
    return next((code for _, code in outcomes if code), 0)


def checked_devices(arguments: argparse.Namespace) -> list[StickDevice]:
    """The devices, all of which may be written and have room; raises before any of them is touched."""
    layout = checked_image(arguments.image)
    devices = [resolve(named, arguments.allow_loop_device) for named in arguments.devices]
    for index, device in enumerate(devices):
        require_room(layout, device)
        if device.path in [other.path for other in devices[:index]]:
            raise DeviceRefused(f"{device.path} is named twice", "name each device once")
    return devices


def outcome(arguments: argparse.Namespace, device: StickDevice) -> tuple[dict[str, Any], int]:
    """Writes one device; what ``--json`` says of it, and its exit code. Ctrl-C ends them all."""
    try:
        with progress() as shown:
            report = write_image(arguments.image, device, WriteOptions(not arguments.no_verify), shown)
    except SoulpadError as error:
        if isinstance(error, Interrupted):
            raise
        code = complain(error)
        return {"device": str(device.path), "written": False, "error": error.message, "exit_code": code}, code
    say(report)
    return as_fields(report), 0


def say(report: WriteReport) -> None:
    """The report for people."""
    verified = "read back and found the same" if report.verified else "not verified"
    people.print(
        f"{report.device}: {format_bytes(report.written_bytes)} written in {report.write_seconds:.0f} s "
        f"({report.megabytes_per_second:.1f} MB/s), {verified}; {format_bytes(report.left_bytes)} of unused "
        "space in the image needed no writing."
    )
    people.print("You can take the stick out.")


def as_fields(report: WriteReport) -> dict[str, Any]:
    """The report for ``--json``."""
    return {"written": True, **asdict(report), "megabytes_per_second": round(report.megabytes_per_second, 1)}
