"""Before a device is erased: whoever sits there names it."""

from __future__ import annotations

import sys

from rich.markup import escape

from builder.device.devices import StickDevice
from soulpad.base.errors import UsageError
from soulpad.base.units import format_bytes
from soulpad.cli.output import people


def confirm(device: StickDevice) -> None:
    """Asks for the device's short name; raises UsageError when it is not typed."""
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm that the device may be erased", "add --yes if you are sure")
    people.print(f"All that is on [bold]{escape(description(device))}[/bold] will be lost.")
    people.print(f"  {device.write_path}")
    people.print(f"Type {device.short_name} to go on: ", end="")
    if input().strip() != device.short_name:
        raise UsageError(f"{device.short_name} was not confirmed; nothing was written")


def description(device: StickDevice) -> str:
    """The device as a person knows it."""
    return f"{device.model or device.path.name} ({format_bytes(device.size_bytes)}, {device.path})"
