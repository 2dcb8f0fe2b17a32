"""How commands on a repository get its keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from lookaside.domain import Domain
from lookaside.keyring import unlock
from soulpad.cli.keys import key_or_prompt

OF = "the repository"


def domain_of(root: Path, arguments: argparse.Namespace) -> Domain:
    """The repository's keys, by what was given or is typed. Raises what ``unlock`` raises."""
    return unlock(root, key_or_prompt(arguments, OF))
