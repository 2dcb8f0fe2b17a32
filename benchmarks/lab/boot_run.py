"""One life of an emulated PC with a stick: power on, prompt, session, power button, off; and what it took."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.pc.profile import PcProfile
from builder.pc.running import GuestPanicked, RunningPc, WaitedInVain, power_on
from builder.pc.trial import usb_disk_for_trial
from soulpad.base.errors import EmulatedPcFailed
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret

# Emulation is slow, and slower on a loaded machine: these only end what will never come.
PROMPT_TIMEOUT_SECONDS = 600
SESSION_TIMEOUT_SECONDS = 600
POWER_OFF_TIMEOUT_SECONDS = 400
LOGIN_TIMEOUT_SECONDS = 30
LOGIN_TRIES = 6
# A session that has just begun takes the whole processor: the button is pressed when that is over.
SETTLE_SECONDS = 20.0

Figures = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """``prompt`` and ``session``: regular expressions of what is reported on the first serial port.

    ``answer``: answers the prompt at the keyboard and returns the seconds since power on of its last key press.
    ``memory``: what the host had free at the prompt, if it tells.
    """

    name: str
    prompt: str
    session: str
    answer: Callable[[RunningPc], float]
    memory: Callable[[str], Figures] = lambda log: {}


def our_way(passphrase: Secret) -> Way:
    """The prompt is drawn on the screen; the session is a virtual machine that runs."""

    def answer(pc: RunningPc) -> float:
        pc.wait_for_serial(r"^SOULPAD prompt-ready", PROMPT_TIMEOUT_SECONDS)
        pc.type_text(passphrase.reveal().decode())
        entered = pc.seconds()
        pc.press("ret")
        return entered

    return Way("ours", r"^SOULPAD prompt-drawn", r'^SOULPAD \{"event": "running"', answer, our_memory)


def stock_way() -> Way:
    """The prompt is a login prompt; the session is a paused virtual machine that libvirt's daemon has started."""

    def answer(pc: RunningPc) -> float:
        for _ in range(LOGIN_TRIES - 1):  # a console that starts just now forgets what was typed before
            with suppress(WaitedInVain):
                return log_in(pc)
        return log_in(pc)

    return Way("stock", r"login: ", r"^STOCK session 0", answer, stock_memory)


def log_in(pc: RunningPc) -> float:
    """Types the user's name, which has no password; raises WaitedInVain when no shell comes of it."""
    pc.type_text("root")
    entered = pc.seconds()
    pc.press("ret")
    pc.wait_for_serial(r"^STOCK MemAvailable: \d+$", LOGIN_TIMEOUT_SECONDS)
    return entered


def our_memory(log: str) -> Figures:
    """From what the session's program reports when it starts, behind the drawn prompt."""
    found = re.search(r'"session-service".*"memory_mib": (\d+), "available_mib": (\d+)', log)
    total, available = map(int, found.groups()) if found else (0, 0)
    return {"prompt_available_mib": available, "prompt_used_mib": total - available}


def stock_memory(log: str) -> Figures:
    """From the two lines that the laboratory's login reports, in KiB."""
    found = {name: int(kib) for name, kib in re.findall(r"\bSTOCK Mem(Total|Available): (\d+)", log)}
    return {
        "prompt_available_mib": found["Available"] // 1024,
        "prompt_used_mib": (found["Total"] - found["Available"]) // 1024,
    }


def live(way: Way, profile: PcProfile, stick: Path, scratch: Path, progress: Progress) -> Figures:
    """One life. The stick stays as it is: what is written goes to a file of this life's own.

    An emulated kernel panics once in a long while: the PC is then switched on once more, and ``panics`` says so.
    """
    for panics in (0, 1):
        try:
            with tempfile.TemporaryDirectory(prefix=f"{way.name}-", dir=scratch) as folder:
                figures = once(way, profile, stick, Path(folder), progress)
            return figures | {"panics": panics}
        except GuestPanicked:
            if panics:
                raise
            progress.step(f"{way.name}: the emulated PC's kernel panicked; once more")
    raise AssertionError("unreachable")


def once(way: Way, profile: PcProfile, stick: Path, folder: Path, progress: Progress) -> Figures:
    """From power on to power off."""
    disk = usb_disk_for_trial(stick, folder)
    with power_on(profile, disk, folder) as pc:
        progress.step(f"{way.name}: switched on")
        pc.wait_for_serial(way.prompt, PROMPT_TIMEOUT_SECONDS)
        figures = milestone(pc, "prompt", 0.0)
        progress.step(f"{way.name}: prompt after {figures['prompt_seconds']:.1f} s; answering it")
        entered = way.answer(pc)
        wait_for_session(pc, way)
        figures |= milestone(pc, "session", entered)
        progress.step(f"{way.name}: session after {figures['session_seconds']:.1f} s")
        figures |= way.memory(pc.serial())
        time.sleep(SETTLE_SECONDS)
        pressed = pc.seconds()
        pc.press_power_button()
        pc.wait_for_power_off(POWER_OFF_TIMEOUT_SECONDS)
        return figures | milestone(pc, "power_off", pressed)


def wait_for_session(pc: RunningPc, way: Way) -> None:
    """Raises EmulatedPcFailed when the session fails instead."""
    failed = r"^STOCK session [1-9]|^SOULPAD \{\"event\": \"(?:failed|unexpected-error|wrong-passphrase)\".*"
    match = pc.wait_for_serial(f"{way.session}|{failed}", SESSION_TIMEOUT_SECONDS)
    if not re.match(way.session, match[0]):
        raise EmulatedPcFailed(f"{way.name}: the session failed: {match[0]}", pc.serial()[-1000:])


def milestone(pc: RunningPc, name: str, since: float) -> Figures:
    """Seconds since ``since`` (both count from power on), and all that was read from the stick by then."""
    seconds = pc.seconds() - since
    return {f"{name}_seconds": round(seconds, 2), f"{name}_read_bytes": pc.block_statistics().read_bytes}
