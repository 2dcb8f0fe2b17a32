"""What only the person can decide, asked in plain words. Every list ends with a way to change nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from soulpad.base.errors import SoulpadError
from soulpad.base.units import format_bytes
from soulpad.session.console import Console
from soulpad.session.parcels import Parcel
from soulpad.session.stopping import Stopping, StopRequested
from soulpad.session.thispc import ThisPc, vt_hint
from soulpad.store.checkpoint import CheckpointManifest

SWITCH_OFF = "Change nothing and switch this PC off"
OLDER_OFFERED = 4
MOMENTS_OFFERED = 8

WORDS = {
    "created": "the parcel as it was made",
    "suspend": "the session as it was suspended",
    "while-running": "the session as it was, saved while it went on,",
    "shut-down": "the disk after the guest shut itself down",
    "cut-off": "the disk that a power cut left",
}


@dataclass(frozen=True)
class Beginning:
    """How a session begins. ``manifest``: from which checkpoint, or None for the disks that a crash left in place.
    ``cold``: the guest boots, though the checkpoint may hold its memory. ``branch``: as a second parcel."""

    manifest: CheckpointManifest | None
    cold: bool = False
    branch: bool = False


def in_words(manifest: CheckpointManifest) -> str:
    """A checkpoint as a person knows it."""
    return f"{WORDS[manifest.occasion]} at {moment(manifest)}"


def moment(manifest: CheckpointManifest) -> str:
    """When a checkpoint was made, in this PC's time."""
    return time.strftime("%H:%M on %d %B %Y", time.localtime(manifest.taken_at))


def as_left(manifest: CheckpointManifest) -> Beginning:
    """Go on from a checkpoint in the way that it allows."""
    return Beginning(manifest, cold=manifest.kind == "disk-only")


def ask(
    console: Console, stopping: Stopping, title: str, text: list[str], options: list[str], *, careful: bool = False
) -> int:
    """Asks; the last option is always SWITCH_OFF, which ends the session here. ``careful``: Enter alone means that."""
    with stopping.interruptible():
        chosen = console.choose(title, text, [*options, SWITCH_OFF], len(options) if careful else 0)
    if chosen == len(options):
        raise StopRequested
    return chosen


def choose_parcel(console: Console, stopping: Stopping, found: list[Parcel]) -> Parcel:
    """The only parcel, or the one that the person picks."""
    if len(found) == 1:
        return found[0]
    names = [parcel.description.name for parcel in found]
    return found[ask(console, stopping, "Which parcel?", ["This stick carries several."], names)]


def after_crash(
    console: Console, stopping: Stopping, newest: CheckpointManifest | None, others: Sequence[CheckpointManifest]
) -> Beginning:
    """Back to the ``newest`` checkpoint (None: it is damaged), on with the disks that the crash left, or an older
    moment."""
    text = ["The last session ended without being suspended (power cut, stick pulled out).",
            "What you do not choose is kept on the stick."]  # fmt: skip
    options = ["Restart with everything that had reached the disk"]
    beginnings = [Beginning(None, cold=True)]
    if newest:
        back = "the session" if newest.kind == "suspended" else "the disk"
        options.insert(0, f"Go back to {back} as it was at {moment(newest)}")
        beginnings.insert(0, as_left(newest))
    if others:
        options.append("Choose an older moment")
    chosen = ask(console, stopping, "The last session was cut off", text, options)
    return beginnings[chosen] if chosen < len(beginnings) else choose_moment(console, stopping, others)


def choose_moment(console: Console, stopping: Stopping, found: Sequence[CheckpointManifest]) -> Beginning:
    """One of the checkpoints, newest first, and what to do with it."""
    shown = found[:MOMENTS_OFFERED]
    text = ["Nothing is lost by going back: the newer moments stay on the stick until newer ones push them out."]
    options = [_capital(in_words(manifest)) for manifest in shown]
    manifest = shown[ask(console, stopping, "Which moment?", text, options)]
    text = [_capital(in_words(manifest)) + "."]
    ways = ["Go on from here", "Open it as a second parcel, beside the newest moment"]
    beginnings = [as_left(manifest), Beginning(manifest, cold=manifest.kind == "disk-only", branch=True)]
    if manifest.kind == "suspended":
        ways.append("Start anew from its disk")
        beginnings.append(Beginning(manifest, cold=True))
    return beginnings[ask(console, stopping, "What shall be done with it?", text, ways)]


def after_refusal(
    console: Console,
    stopping: Stopping,
    error: SoulpadError,
    older: Sequence[CheckpointManifest],
    disks: CheckpointManifest | None,
) -> Beginning:
    """The session cannot be resumed here. ``older``: what can be resumed; ``disks``: whose disks can be booted. Each
    only if the person says so; otherwise the session ends."""
    text = [error.message, error.hint, "", "The suspended session stays on the stick, whatever you choose."]
    options = [f"Go back to {in_words(manifest)}" for manifest in older[:OLDER_OFFERED]]
    beginnings = [as_left(manifest) for manifest in older[:OLDER_OFFERED]]
    if disks:
        text.append("Starting anew is like switching a PC on after its plug was pulled: what was open is not there.")
        options.append("Start anew from the parcel's disk")
        beginnings.append(Beginning(disks, cold=True))
    return beginnings[ask(console, stopping, "This session cannot be resumed", text, options, careful=True)]


def with_little_room(console: Console, stopping: Stopping, free_bytes: int) -> None:
    """The stick is nearly full: says what that means before the session starts."""
    text = [
        f"Only {format_bytes(free_bytes)} are free on the stick.",
        "When it is full, the session is suspended and this PC switched off. Nothing of it is lost then.",
        "Removing files inside the parcel, or a larger stick, makes room.",
    ]
    ask(console, stopping, "The stick is nearly full", text, ["Start all the same"])


def without_kvm(console: Console, stopping: Stopping, pc: ThisPc) -> None:
    """Says that this PC can only emulate, slowly, and what would help."""
    text = ["This PC's virtualisation is missing or switched off.", vt_hint(pc)]
    ask(console, stopping, "This PC will be very slow", text, ["Start in slow emulation"])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
