"""How commands are given secrets: by prompt, file or descriptor, never as an argument."""

from __future__ import annotations

import argparse
from pathlib import Path

from soulpad.base import secrets
from soulpad.base.secrets import Secret
from soulpad.cli.output import people


def add_new_passphrase_arguments(parser: argparse.ArgumentParser) -> None:
    """The ways to give a new passphrase; without any it is asked for."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--passphrase-file", type=Path, metavar="FILE", help="read the passphrase from FILE")
    group.add_argument("--passphrase-fd", type=int, metavar="FD", help="read the passphrase from an open descriptor")
    group.add_argument(
        "--generate-passphrase",
        action="store_true",
        help="make one of random words, typed alike on most keyboards, and show it once",
    )


def new_passphrase(arguments: argparse.Namespace) -> Secret:
    """The new passphrase, strong enough; raises WeakPassphrase."""
    if arguments.generate_passphrase:
        secret = secrets.generate_passphrase()
        people.print("the passphrase, shown this once:", style="bold")
        people.print(f"  {secret.reveal().decode()}")
        return secret
    if arguments.passphrase_file:
        return secrets.require_strong(secrets.passphrase_from_file(arguments.passphrase_file))
    if arguments.passphrase_fd is not None:
        return secrets.require_strong(secrets.passphrase_from_descriptor(arguments.passphrase_fd))
    return secrets.prompt_new_passphrase()
