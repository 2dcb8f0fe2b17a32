"""One stay of the session at one PC, acted as a person would: switch on, type the passphrase, work, press the power
button; and what was seen meanwhile."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.pc.internal_disk import make_internal_disk, sha256_sparse
from builder.pc.machine import MachineOptions, UsbDisk
from builder.pc.profile import PcProfile
from builder.pc.room import Room
from builder.pc.running import RunningPc, WaitedInVain, power_on
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret

# Emulation is slow, and slower on a loaded machine: these only end what will never come.
PROMPT_TIMEOUT_SECONDS = 400
SESSION_TIMEOUT_SECONDS = 700
GUEST_TIMEOUT_SECONDS = 900
ECHO_TIMEOUT_SECONDS = 30
TYPING_ATTEMPTS = 6
POWER_OFF_TIMEOUT_SECONDS = 400

GUEST_PORT = 1
# Whole lines: of one that is still coming, a part may look like all of it.
EVENT = r'^SOULPAD (\{"event": "%s".*\})\r*\n'
GUEST_WORD = r'^(\{"soul": .*\})\r*\n'
GUEST_REPORT = r'^(\{"soul": .*"pattern_mib": %d,.*"pattern_ok": true.*"file_found": true.*\})\r*\n'
GUEST_ECHO = r'^\{"soul": .*"typed": "%s"\}\}\r*\n'
GUEST_ANSWER = r'^\{"done": (\{"command": "%s".*\})\}\r*\n'


@dataclass
class Stay:
    """What was seen at one PC. ``soul``: the guest program's reports, first and last. ``answers``: what it said to
    the commands that were typed. ``clock_off_seconds``: how far the guest's clock was ahead of the PC's own."""

    profile: PcProfile
    screenshots: list[Path] = field(default_factory=list)
    internal_disk_sha256: dict[str, str] = field(default_factory=dict)
    first_soul: dict[str, Any] = field(default_factory=dict)
    last_soul: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    running: dict[str, Any] = field(default_factory=dict)
    suspended: dict[str, Any] = field(default_factory=dict)
    clock_off_seconds: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)


def stay(
    profile: PcProfile,
    stick: Path,
    folder: Path,
    passphrase: Secret,
    pattern_mib: int,
    progress: Progress,
) -> Stay:
    """Switches the PC on with the stick, lives through one session, and leaves it switched off."""
    seen = Stay(profile)
    room = Room(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if profile.internal_disk and not room.internal_disk.exists():
        make_internal_disk(profile.internal_disk, room.internal_disk)
    seen.internal_disk_sha256["before"] = sha256_sparse(room.internal_disk)
    # Isolated: no time server corrects the PC's clock, which the guest's is compared with.
    with power_on(profile, UsbDisk(stick, durable=False), folder, options=MachineOptions(isolated=True)) as pc:
        progress.step(
            f"{profile.name}: switched on ({profile.firmware.value}, {profile.usb.value}, {profile.memory_mib} MiB)"
        )
        unlock(pc, passphrase, seen, folder)
        wait_for_session(pc, seen)
        progress.step(f"{profile.name}: the session runs")
        work(pc, seen, folder, pattern_mib)
        progress.step(f"{profile.name}: pressing the power button")
        suspend(pc, seen, folder)
    seen.internal_disk_sha256["after"] = sha256_sparse(room.internal_disk)
    return seen


def unlock(pc: RunningPc, passphrase: Secret, seen: Stay, folder: Path) -> None:
    """Waits for the prompt and types the passphrase at the PC's keyboard."""
    pc.wait_for_serial("^SOULPAD prompt-ready", PROMPT_TIMEOUT_SECONDS)
    seen.seconds["power-on to prompt"] = pc.seconds()
    seen.bytes["read to prompt"] = pc.block_statistics().read_bytes
    seen.screenshots.append(pc.screenshot(folder / "1-prompt.png"))
    pc.type_text(passphrase.reveal().decode())
    pc.press("ret")
    seen.seconds["passphrase typed"] = pc.seconds()


def wait_for_session(pc: RunningPc, seen: Stay) -> None:
    """Waits until the virtual machine runs and its guest speaks."""
    event(pc, "unlocked", SESSION_TIMEOUT_SECONDS)
    seen.bytes["read when unlocked"] = pc.block_statistics().read_bytes
    seen.running = event(pc, "running", SESSION_TIMEOUT_SECONDS)
    seen.seconds["session runs"] = pc.seconds()
    match = pc.wait_for_serial(GUEST_WORD, GUEST_TIMEOUT_SECONDS, GUEST_PORT)
    seen.clock_off_seconds["at first"] = clock_off_seconds(pc, json.loads(match[1])["soul"])
    seen.seconds["guest's first word"] = pc.seconds()
    seen.bytes["read at guest's first word"] = pc.block_statistics().read_bytes


def work(pc: RunningPc, seen: Stay, folder: Path, pattern_mib: int) -> None:
    """Waits for the guest's memory pattern, then has a line written to its disk and all of the memory checked."""
    match = pc.wait_for_serial(GUEST_REPORT % pattern_mib, GUEST_TIMEOUT_SECONDS, GUEST_PORT)
    seen.first_soul = json.loads(match[1])["soul"]
    greeting = f"write greetings from {pc.profile.name}"
    seen.answers[greeting] = command_guest(pc, greeting)
    seen.screenshots.append(pc.screenshot(folder / "2-session.png"))
    seen.answers["verify"] = command_guest(pc, "verify")
    since = len(pc.serial(GUEST_PORT))
    match = pc.wait_for_serial(GUEST_REPORT % pattern_mib, GUEST_TIMEOUT_SECONDS, GUEST_PORT, since)
    seen.last_soul = json.loads(match[1])["soul"]
    seen.clock_off_seconds["after work"] = clock_off_seconds(pc, seen.last_soul)
    seen.screenshots.append(pc.screenshot(folder / "3-work.png"))


def clock_off_seconds(pc: RunningPc, soul: dict[str, Any]) -> float:
    """By how much a report that has just come says that the guest's clock is ahead of the PC's; it took some tenths
    of a second to come, and looks behind by so much."""
    return round(float(soul["clock"]) - pc.clock(), 1)


def command_guest(pc: RunningPc, command: str, timeout_seconds: float = GUEST_TIMEOUT_SECONDS) -> str:
    """Types a command at the PC's keyboard for the guest's program; returns what it answered within that time.

    As a person does, it looks whether the line appeared before it presses Enter, and types it again when it did not:
    the viewer may have taken the screen only while it was typed.
    """
    for _ in range(TYPING_ATTEMPTS):
        since = len(pc.serial(GUEST_PORT))
        pc.press("ctrl", "u")  # whatever of the line is there already
        pc.type_text(command)
        with suppress(WaitedInVain):
            pc.wait_for_serial(GUEST_ECHO % re.escape(command), ECHO_TIMEOUT_SECONDS, GUEST_PORT, since)
            break
    pc.press("ret")
    answer = pc.wait_for_serial(GUEST_ANSWER % re.escape(command), timeout_seconds, GUEST_PORT, since)
    return str(json.loads(answer[1])["result"])


def suspend(pc: RunningPc, seen: Stay, folder: Path) -> None:
    """Presses the power button and waits until the PC is off."""
    written = pc.block_statistics().written_bytes
    pressed = pc.seconds()
    pc.press_power_button()
    seen.suspended = event(pc, "suspended", POWER_OFF_TIMEOUT_SECONDS)
    seen.seconds["button to suspended"] = pc.seconds() - pressed
    pc.wait_for_power_off(POWER_OFF_TIMEOUT_SECONDS)
    seen.seconds["button to power-off"] = pc.seconds() - pressed
    seen.bytes["written at suspend"] = pc.block_statistics().written_bytes - written


def event(pc: RunningPc, name: str, timeout_seconds: float) -> dict[str, Any]:
    """Waits for the host to report an event; its facts."""
    return dict(json.loads(pc.wait_for_serial(EVENT % name, timeout_seconds)[1]))
