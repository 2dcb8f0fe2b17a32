"""``soulpad build``: the host image, which all sticks of a recipe share."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from builder.host.image import build_host
from builder.places import IMAGES
from soulpad.base.units import format_bytes
from soulpad.cli.output import emit, people, progress

EPILOG = """\
example: sudo soulpad build --recipe images/host.toml

Needs root for the Debian root alone (a chroot). Unchanged recipes and sources are a no-op.
exit codes: 0 done, 10 bad recipe, 40 no space, 41 a program failed, 42 a program is missing, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--recipe``."""
    parser.add_argument("--recipe", type=Path, default=IMAGES / "host.toml", help="host recipe (images/host.toml)")


def run(arguments: argparse.Namespace) -> int:
    """Builds and prints where the image is and how large."""
    began = time.monotonic()
    with progress() as bar:
        host = build_host(arguments.recipe, bar)
    seconds = round(time.monotonic() - began, 1)
    sizes = {path.name: path.stat().st_size for path in (host.squashfs, host.kernel, host.initrd)}
    if arguments.json:
        emit({"host": host.folder, "version": host.version, "bytes": sizes, "seconds": seconds})
    else:
        people.print(f"host {host.version} in {seconds} s: {host.folder}")
        for name, size_bytes in sizes.items():
            people.print(f"  {name:14} {format_bytes(size_bytes)}")
    return 0
