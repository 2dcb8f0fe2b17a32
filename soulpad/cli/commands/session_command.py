"""``soulpad session``: what the stick's host runs. It has no use on other machines."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from soulpad.base.errors import UsageError

EPILOG = """\
examples:
  soulpad session run        (done by soulpad-session.service on the stick)
  soulpad session suspend    what the PC's power button does: from another console, or a script"""
ON_A_STICK = Path("/run/soulpad/host-device")
CONSOLE_SOCKET = Path("/run/soulpad/console.sock")
LIBVIRT_ROOT = Path("/run/soulpad-libvirt")
ACTIONS = {"run": "the session, from the passphrase to the power-off", "suspend": "suspend it and switch the PC off"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``run`` is the whole session, from the passphrase to the power-off; ``suspend`` ends one that runs."""
    said = "; ".join(f"{action}: {meaning}" for action, meaning in ACTIONS.items())
    parser.add_argument("action", choices=list(ACTIONS), help=said)


def run(arguments: argparse.Namespace) -> int:
    """Runs the session and asks for the power-off, or only asks for it."""
    if not ON_A_STICK.exists():
        raise UsageError("this machine does not run from a stick", "try a stick image with: soulpad try IMAGE")
    return suspend(arguments.json) if arguments.action == "suspend" else run_whole_session()


def run_whole_session() -> int:
    """All that soulpad-session.service does."""
    from soulpad.session.console import Console
    from soulpad.session.flow import run_session, switch_off

    run_session(Console(CONSOLE_SOCKET), LIBVIRT_ROOT)
    switch_off()
    return 0


def suspend(as_json: bool) -> int:
    """Asks for the power-off, for which systemd first ends the session: it suspends."""
    from soulpad.session.stopping import ask_for_power_off, session_is_running

    if not session_is_running():
        raise UsageError("no session runs here, or it is being suspended already", "switch the PC off as usual")
    ask_for_power_off()
    line = "the session is suspended, then this PC switches itself off"
    print(json.dumps({"asked_for": "power-off"}) if as_json else line)
    return 0
