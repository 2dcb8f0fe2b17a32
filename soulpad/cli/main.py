"""The ``soulpad`` command: parses, calls one flow, prints, exits. Errors become a line, a hint and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

from soulpad.base.errors import Interrupted, SoulpadError

# name of the command -> module that offers add_arguments(parser) and run(arguments); loaded when first asked for,
# because the stick's host has neither the builder nor its dependencies
COMMANDS = {
    "build": "build the host image from a recipe",
    "create": "make a personal stick image with parcels",
    "write": "write a stick image to a USB disk",
    "devices": "list the USB disks that could be written",
    "inspect": "say what is on a stick or an image",
    "backup": "put the parcels of a stick or an image into a repository",
    "keys": "list, add or remove the key slots of a repository",
    "restore": "make a stick anew from a repository",
    "versions": "list what a repository holds",
    "forget": "delete versions from a repository",
    "collect": "free what no version in a repository needs any more",
    "verify": "say whether a repository, a stick or an image is whole",
    "recover": "save what is whole in a damaged repository, stick or image",
    "try": "boot a stick image in an emulated PC",
    "doctor": "say what this machine lacks to build sticks",
    "session": "what the stick's host runs: the session itself",
}


def entry() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    arguments = parser_for(argv).parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(message)s")
    try:
        return int(command_module(arguments.command).run(arguments) or 0)
    except SoulpadError as error:
        return complain(error)
    except KeyboardInterrupt:
        return complain(Interrupted("interrupted; what was half made has been removed", "run it again when you like"))
    except BrokenPipeError:
        return 1


def complain(error: SoulpadError) -> int:
    """Prints an expected failure as people need it; returns its exit code."""
    print(f"soulpad: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def parser_for(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the arguments of the one command that was named (all others by name only)."""
    parser = argparse.ArgumentParser(
        prog="soulpad",
        description="A USB disk that boots any x86 PC and resumes your virtual machine.",
        epilog="example: soulpad create stick.img --size 8GiB --parcel work=debian.qcow2",
    )
    parser.add_argument("--verbose", action="store_true", help="log every outside program that is run")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        module = command_module(name) if name == named else None
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if module:
            module.add_arguments(subparser)
            subparser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def command_module(name: str):  # type: ignore[no-untyped-def]
    """The module of a command: ``soulpad.cli.commands.NAME_``."""
    return importlib.import_module(f"soulpad.cli.commands.{name}_command")
