"""``soulpad create``: a personal stick image."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from builder.create import StickSpec, create_stick
from builder.guest.parcels import parse_request
from builder.places import IMAGES
from builder.store.luks import LuksSpec
from soulpad.base.secrets import harden_process
from soulpad.base.units import MIB, format_bytes, parse_bytes, parse_minutes
from soulpad.cli.output import emit, people, progress
from soulpad.cli.passphrase import add_new_passphrase_arguments, new_passphrase
from soulpad.store.cpuclass import CLASSES

EPILOG = f"""\
examples:
  sudo soulpad create stick.img --size 16GB --parcel work=debian.qcow2,memory=2GiB
  soulpad create stick.img --size 8GiB --parcel demo=images/guest-demo.toml --generate-passphrase --key-file .

A parcel is made from a disk image that qemu-img reads, a guest recipe (.toml), or the folder of a suspended parcel.
CPU classes, for how old a PC may be: {", ".join(known.name for known in CLASSES)}; the first unless you say otherwise.
Only the first build of a host needs root.
exit codes: 0 done, 10 bad input, 11 passphrase too short, 40 no space, 41 a program failed,
  42 a program is missing, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The image, its size, its parcels, its secrets."""
    parser.add_argument("out", type=Path, metavar="OUT", help="the image file to make (replaced when it exists)")
    parser.add_argument("--size", required=True, help="the stick's size, for example 8GiB or 16GB")
    parser.add_argument(
        "--parcel",
        action="append",
        required=True,
        metavar="NAME=GUEST[,memory=SIZE][,cpus=N][,cpu-class=CLASS]",
        help="a parcel and what it is made from; may be given several times",
    )
    add_new_passphrase_arguments(parser)
    parser.add_argument(
        "--key-file", type=Path, metavar="FOLDER", help="also make a key file, for an auxiliary USB key, in FOLDER"
    )
    parser.add_argument("--keyboard", default="us", help="keyboard layout at the prompt, a console keymap name (us)")
    parser.add_argument("--recipe", type=Path, default=IMAGES / "host.toml", help="host recipe (images/host.toml)")
    parser.add_argument(
        "--unlock-memory", default="256MiB", help="memory that guessing a passphrase costs, and unlocking (256MiB)"
    )
    parser.add_argument(
        "--suspend-when-idle",
        metavar="TIME",
        help="suspend a session and switch the PC off after so long without a key or mouse, for example 30min (never)",
    )
    parser.add_argument(
        "--kernel-argument",
        action="append",
        default=[],
        metavar="WORD",
        help="add to the host's kernel command line, for laboratories and odd PCs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Makes the image and says what it is."""
    harden_process()
    idle_minutes = parse_minutes(arguments.suspend_when_idle) if arguments.suspend_when_idle else None
    requests = (parse_request(text) for text in arguments.parcel)
    spec = StickSpec(
        total_bytes=parse_bytes(arguments.size) // MIB * MIB,
        parcels=tuple(replace(request, suspend_when_idle_minutes=idle_minutes) for request in requests),
        host_recipe=arguments.recipe,
        keyboard=arguments.keyboard,
        luks=LuksSpec(argon2_memory_kib=parse_bytes(arguments.unlock_memory) // 1024),
        kernel_arguments=tuple(arguments.kernel_argument),
    )
    passphrase = new_passphrase(arguments)
    with progress() as bar:
        stick = create_stick(arguments.out, spec, passphrase, arguments.key_file, bar)
    if arguments.json:
        emit(asdict(stick))
        return 0
    people.print(
        f"{stick.image}: stick {stick.stick_id} of {format_bytes(stick.total_bytes)}, "
        f"{format_bytes(stick.allocated_bytes)} on this disk, host {stick.host_version}"
    )
    if stick.key_file:
        people.print(f"auxiliary key: copy {stick.key_file} to the root folder of another USB disk")
    people.print(f"try it:   soulpad try {stick.image}")
    people.print(f"write it: soulpad devices, then: sudo soulpad write {stick.image} DEVICE")
    return 0
