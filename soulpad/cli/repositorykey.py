"""How commands on a repository get its key: by what opens one of its key slots."""

from __future__ import annotations

import argparse
from pathlib import Path

from lookaside.domain import Domain
from lookaside.keyring import Key, unlock
from soulpad.base.secrets import key_from_file, passphrase_from_descriptor, passphrase_from_file, prompt_passphrase


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """The ways to open a key slot."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--ask-passphrase", action="store_true", help="ask for the repository's passphrase")
    group.add_argument("--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from a file")
    group.add_argument("--passphrase-fd", metavar="N", type=int, help="read the passphrase from an open descriptor")
    group.add_argument("--key-file", metavar="FILE", type=Path, help="open the repository with a key file")


def key_of(arguments: argparse.Namespace) -> Key | None:
    """What was given; None where nothing was. Raises BadInput, UsageError."""
    if arguments.ask_passphrase:
        return Key(prompt_passphrase("Passphrase of the repository: "))
    if arguments.passphrase_file:
        return Key(passphrase_from_file(arguments.passphrase_file))
    if arguments.passphrase_fd is not None:
        return Key(passphrase_from_descriptor(arguments.passphrase_fd))
    return Key(key_from_file(arguments.key_file), "key-file") if arguments.key_file else None


def key_or_prompt(arguments: argparse.Namespace) -> Key:
    """What was given, or what is typed."""
    return key_of(arguments) or Key(prompt_passphrase("Passphrase of the repository: "))


def domain_of(root: Path, arguments: argparse.Namespace) -> Domain:
    """The repository's keys, by what was given or is typed. Raises what ``unlock`` raises."""
    return unlock(root, key_or_prompt(arguments))
