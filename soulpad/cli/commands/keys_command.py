"""``soulpad keys``: the key slots of a repository."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lookaside.keyring import Key, add, remove, slots, unlock
from lookaside.keyslots import KeySlot, wrap
from lookaside.repository import domain_id_of, repository_trouble
from soulpad.base.errors import SoulpadError
from soulpad.base.secrets import (
    harden_process,
    key_from_file,
    passphrase_from_descriptor,
    passphrase_from_file,
    prompt_new_passphrase,
    require_strong,
)
from soulpad.cli.keys import add_key_arguments, key_or_prompt
from soulpad.cli.output import emit, people

EPILOG = """examples:
  soulpad keys /mnt/nas/soulpad
  soulpad keys /mnt/nas/soulpad --add --new-key-file spare.key
  soulpad keys /mnt/nas/soulpad --remove 5f3a9c0de1b27788

Listing takes no secret; adding and removing takes one that opens the repository.

exit codes: 0 done, 10 bad input, 11 passphrase too short, 12 wrong passphrase, 75 no repository,
  77 a slot is damaged"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The repository, what to do with its slots, the secrets."""
    parser.add_argument("repository", metavar="REPO", type=Path, help="the folder of a repository")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--add", action="store_true", help="add a key slot")
    what.add_argument("--remove", metavar="NAME", help="remove the key slot of that name, never the last one")
    add_key_arguments(parser, "the repository")
    new = parser.add_mutually_exclusive_group()
    new.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help="read the new passphrase from FILE")
    new.add_argument("--new-passphrase-fd", type=int, metavar="N", help="read it from an open descriptor")
    new.add_argument("--new-key-file", type=Path, metavar="FILE", help="the new slot is opened by this key file")


def run(arguments: argparse.Namespace) -> int:
    """Adds or removes, then lists."""
    harden_process()
    root = arguments.repository
    with repository_trouble(root):
        domain_id = domain_id_of(root)
        if arguments.add or arguments.remove:
            domain = unlock(root, key_or_prompt(arguments, "the repository"))
            if arguments.remove:
                remove(root, arguments.remove, domain_id)
            else:
                key = new_key(arguments)
                add(root, wrap(domain, key.secret, key.kind))
        found = slots(root, domain_id)
    if arguments.json:
        emit({"slots": [as_fields(name, slot) for name, slot in found.items()]})
    else:
        for name, slot in found.items():
            people.print(f"{name}  {in_words(slot)}", markup=False)
    return next((slot.exit_code for slot in found.values() if isinstance(slot, SoulpadError)), 0)


def new_key(arguments: argparse.Namespace) -> Key:
    """What opens the new slot. Raises BadInput, WeakPassphrase."""
    if arguments.new_key_file:
        return Key(key_from_file(arguments.new_key_file), "key-file")
    if arguments.new_passphrase_file:
        return Key(require_strong(passphrase_from_file(arguments.new_passphrase_file)))
    if arguments.new_passphrase_fd is not None:
        return Key(require_strong(passphrase_from_descriptor(arguments.new_passphrase_fd)))
    return Key(prompt_new_passphrase("New passphrase of the repository: "))


def as_fields(name: str, slot: KeySlot | SoulpadError) -> dict[str, Any]:
    """A slot for ``--json``."""
    if isinstance(slot, SoulpadError):
        return {"name": name, "kind": None, "problem": slot.message}
    return {"name": name, "kind": slot.kind, "problem": None}


def in_words(slot: KeySlot | SoulpadError) -> str:
    """A slot for people."""
    if isinstance(slot, SoulpadError):
        return f"damaged: {slot.message}"
    if cost := slot.stretching:
        return f"a passphrase (argon2id, {cost.memory_kib // 1024} MiB, {cost.passes} passes)"
    return "a key file"
