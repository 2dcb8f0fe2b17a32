"""``soulpad session``: what the stick's host runs. It has no use on other machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from soulpad.base.errors import UsageError

EPILOG = "example: soulpad session run      (done by soulpad-session.service on the stick)"
ON_A_STICK = Path("/run/soulpad/host-device")
CONSOLE_SOCKET = Path("/run/soulpad/console.sock")
LIBVIRT_ROOT = Path("/run/soulpad-libvirt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``run`` is the whole session, from the passphrase to the power-off."""
    parser.add_argument("action", choices=["run"], help="run: the session, from the passphrase to the power-off")


def run(arguments: argparse.Namespace) -> int:
    """Runs the session and asks for the power-off."""
    if not ON_A_STICK.exists():
        raise UsageError("this machine does not run from a stick", "try a stick image with: soulpad try IMAGE")
    from soulpad.session.console import Console
    from soulpad.session.flow import run_session, switch_off

    run_session(Console(CONSOLE_SOCKET), LIBVIRT_ROOT)
    switch_off()
    return 0
