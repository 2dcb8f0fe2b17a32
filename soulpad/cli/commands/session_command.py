"""``soulpad session``: what the stick's host runs. It has no use on other machines."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from soulpad.base.errors import UsageError

EPILOG = """\
examples:
  soulpad session run        (done by soulpad-session.service on the stick)
  soulpad session suspend    what the PC's power button does: from another console, or a script
  soulpad session checkpoint    save it while it goes on, as Ctrl+Alt+Home does"""
ON_A_STICK = Path("/run/soulpad/host-device")
CONSOLE_SOCKET = Path("/run/soulpad/console.sock")
LIBVIRT_ROOT = Path("/run/soulpad-libvirt")
ACTIONS = {
    "run": "the session, from the passphrase to the power-off",
    "suspend": "suspend it and switch the PC off",
    "checkpoint": "save it while it goes on",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``run`` is the whole session; the others ask something of one that runs."""
    said = "; ".join(f"{action}: {meaning}" for action, meaning in ACTIONS.items())
    parser.add_argument("action", choices=list(ACTIONS), help=said)


def run(arguments: argparse.Namespace) -> int:
    """Runs the session and asks for the power-off, or asks something of the one that runs."""
    if not ON_A_STICK.exists():
        raise UsageError("this machine does not run from a stick", "try a stick image with: soulpad try IMAGE")
    if arguments.action == "run":
        return run_whole_session()
    return ask(arguments.action, arguments.json)


def run_whole_session() -> int:
    """All that soulpad-session.service does."""
    from soulpad.session.console import Console
    from soulpad.session.flow import run_session
    from soulpad.session.stopping import ask_for_power_off

    run_session(Console(CONSOLE_SOCKET), LIBVIRT_ROOT)
    ask_for_power_off()
    return 0


def ask(action: str, as_json: bool) -> int:
    """Asks for the power-off, for which systemd first ends the session: it suspends. Or asks it for a checkpoint."""
    from soulpad.session.stopping import ask_for_checkpoint, ask_for_power_off, session_is_running

    if not session_is_running():
        raise UsageError("no session runs here, or it is being suspended already", "switch the PC off as usual")
    if action == "checkpoint":
        ask_for_checkpoint()
        asked, line = "checkpoint", "a checkpoint is made while the session goes on"
    else:
        ask_for_power_off()
        asked, line = "power-off", "the session is suspended, then this PC switches itself off"
    print(json.dumps({"asked_for": asked}) if as_json else line)
    return 0
