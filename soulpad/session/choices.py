"""What only the person can decide, asked in plain words. Every list ends with a way to change nothing."""

from __future__ import annotations

import time

from soulpad.base.errors import SoulpadError
from soulpad.session.console import Console
from soulpad.session.machine import vt_hint
from soulpad.session.parcels import Parcel
from soulpad.session.stopping import Stopping, StopRequested
from soulpad.session.thispc import ThisPc

SWITCH_OFF = "Change nothing and switch this PC off"


def ask(console: Console, stopping: Stopping, title: str, text: list[str], options: list[str]) -> int:
    """Asks; the last option is always SWITCH_OFF, which ends the session here."""
    with stopping.interruptible():
        chosen = console.choose(title, text, [*options, SWITCH_OFF], 0)
    if chosen == len(options):
        raise StopRequested
    return chosen


def choose_parcel(console: Console, stopping: Stopping, found: list[Parcel]) -> Parcel:
    """The only parcel, or the one that the person picks."""
    if len(found) == 1:
        return found[0]
    names = [parcel.description.name for parcel in found]
    return found[ask(console, stopping, "Which parcel?", ["This stick carries several."], names)]


def after_crash(console: Console, stopping: Stopping, parcel: Parcel) -> bool:
    """Whether to start from the disk that a crash left (True) or to go back to the checkpoint (False)."""
    manifest = parcel.current()
    moment = time.strftime("%H:%M on %d %B %Y", time.localtime(manifest.taken_at))
    back = "the session" if manifest.kind == "suspended" else "the disk"
    options = [f"Go back to {back} as it was at {moment}", "Restart with everything that had reached the disk"]
    text = ["The last session ended without being suspended (power cut, stick pulled out).",
            "What you do not choose is kept on the stick."]  # fmt: skip
    return ask(console, stopping, "The last session was cut off", text, options) == 1


def after_refusal(console: Console, stopping: Stopping, error: SoulpadError) -> None:
    """The session cannot be resumed here: a cold boot only if the person says so. Otherwise the session ends."""
    text = [
        error.message,
        error.hint,
        "",
        "The suspended session stays on the stick, whatever you choose.",
        "Starting anew is like switching a PC on after its plug was pulled: what was open is not there.",
    ]
    ask(console, stopping, "This session cannot be resumed on this PC", text, ["Start anew from the parcel's disk"])


def without_kvm(console: Console, stopping: Stopping, pc: ThisPc) -> None:
    """Says that this PC can only emulate, slowly, and what would help."""
    text = ["This PC's virtualisation is missing or switched off.", vt_hint(pc)]
    ask(console, stopping, "This PC will be very slow", text, ["Start in slow emulation"])
