"""How commands are given what opens a stick or a repository: by prompt, file or descriptor, never as an argument."""

from __future__ import annotations

import argparse
from pathlib import Path

from lookaside.domain import Domain
from lookaside.keyring import Key, unlock
from soulpad.base.secrets import (
    key_from_file,
    passphrase_from_descriptor,
    passphrase_from_file,
    prompt_passphrase,
)

REPOSITORY = "repository-"
OF = "the repository"


def add_key_arguments(parser: argparse.ArgumentParser, of: str, prefix: str = "") -> None:
    """``--PREFIXpassphrase-file`` and its like; ``of``: whose they are, for people."""
    group = parser.add_mutually_exclusive_group()
    ask = f"--ask-{prefix}passphrase"
    group.add_argument(ask, action="store_true", help=f"ask for the passphrase of {of}")
    group.add_argument(f"--{prefix}passphrase-file", metavar="FILE", type=Path, help=f"read that of {of} from FILE")
    group.add_argument(
        f"--{prefix}passphrase-fd", metavar="N", type=int, help=f"read that of {of} from an open descriptor"
    )
    group.add_argument(f"--{prefix}key-file", metavar="FILE", type=Path, help=f"open {of} with a key file")


def given_key(arguments: argparse.Namespace, of: str, prefix: str = "") -> Key | None:
    """What was given; None where nothing was. Raises BadInput."""
    given = {name: value for name, value in vars(arguments).items() if value not in (None, False)}
    word = prefix.replace("-", "_")
    if f"ask_{word}passphrase" in given:
        return Key(prompt_passphrase(f"Passphrase of {of}: "))
    if path := given.get(f"{word}passphrase_file"):
        return Key(passphrase_from_file(path))
    if (descriptor := getattr(arguments, f"{word}passphrase_fd")) is not None:
        return Key(passphrase_from_descriptor(descriptor))
    path = given.get(f"{word}key_file")
    return Key(key_from_file(path), "key-file") if path else None


def key_or_prompt(arguments: argparse.Namespace, of: str) -> Key:
    """What was given, or what is typed. Raises BadInput, UsageError."""
    return given_key(arguments, of) or Key(prompt_passphrase(f"Passphrase of {of}: "))


def domain_of(root: Path, arguments: argparse.Namespace) -> Domain:
    """A repository's keys, by what was given or is typed. Raises what ``unlock`` raises."""
    return unlock(root, key_or_prompt(arguments, OF))
