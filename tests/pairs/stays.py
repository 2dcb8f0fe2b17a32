"""A session at a PC, acted as a person would: it is begun and suspended at one, and wanted back at others.

Sticks are overlays of the stick as it was before: nothing is copied, and each PC gets the same one.
"""

from __future__ import annotations

import fcntl
import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder.inspect import inspect
from builder.pc.machine import MachineOptions, UsbDisk
from builder.pc.profile import PcProfile, find_profile
from builder.pc.running import RunningPc, WaitedInVain, power_on
from builder.pc.screen import differs
from builder.places import BUILD
from demo.stations import GUEST_PORT, GUEST_REPORT, command_guest, event
from demo.walk import PASSPHRASE
from soulpad.base.errors import BadInput, EmulatedPcFailed
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.session.thispc import memory_mib
from tests.boot.person import Person
from tests.pairs.plan import Expectation, Outcome, shows_sessions
from tests.pairs.seen import Seen, Soul, Suspended

# Emulation is slow, and slower on a loaded machine: these only end what will never come.
TIMEOUT_SECONDS = 1800
A_LINE_OF_PIXELS = 1000
LARGE_MIB = 8192
SPARED_MIB = 1024
POLL_SECONDS = 5
MEMINFO = Path("/proc/meminfo")
LOCK = BUILD / "pairs" / "large-pc.lock"
PATTERN_MIB = 16
TYPING_ATTEMPTS = 6
ENTER_SECONDS = 120
WHOLE_PASSES = 2  # of the pattern's checking, which never ends: of two that ended, one began after the resume


@contextmanager
def at(name: str, stick: Path, folder: Path) -> Iterator[RunningPc]:
    """The PC, switched on with the stick ``stick`` (a qcow2 overlay)."""
    folder.mkdir(parents=True, exist_ok=True)
    profile, disk = find_profile(name), UsbDisk(stick, image_format="qcow2", durable=False)
    with room_for(profile), power_on(profile, disk, folder, options=MachineOptions(isolated=True)) as pc:
        yield pc


@contextmanager
def room_for(profile: PcProfile) -> Iterator[None]:
    """Waits until this machine has the PC's memory, all of which is taken: the PC's kernel clears what is free. Large
    ones run one at a time, because it takes a while until it is seen what a PC takes. Raises BadInput where it is in
    vain."""
    needed_mib = profile.memory_mib + SPARED_MIB
    if memory_mib(MEMINFO.read_text()) < needed_mib:
        raise BadInput(f"the PC {profile.name} needs {needed_mib} MiB of this machine's memory", "it has less")
    with LOCK.open("w") if profile.memory_mib >= LARGE_MIB else nullcontext() as lock:
        if lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        while memory_mib(MEMINFO.read_text(), "MemAvailable") < needed_mib:
            time.sleep(POLL_SECONDS)
        yield


def overlay(of: Path, image: Path) -> Path:
    """``image``: what ``of`` holds, to be written without changing that. Raises ProgramFailed."""
    image.unlink(missing_ok=True)
    image.parent.mkdir(parents=True, exist_ok=True)
    kind = "qcow2" if of.suffix == ".qcow2" else "raw"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", of.absolute(), image])
    return image


def suspend_at(source: str, stick: Path, folder: Path) -> Suspended:
    """Begins the stick's session at the PC, waits until its memory holds the pattern, suspends it."""
    with at(source, stick, folder) as pc:
        Person(pc).at_the_prompt()
        unlock(pc)
        event(pc, "running", TIMEOUT_SECONDS)
        soul_of(pc)
        pc.press_power_button()
        generation = int(event(pc, "suspended", TIMEOUT_SECONDS)["generation"])
        pc.wait_for_power_off(TIMEOUT_SECONDS)
        return Suspended(generation, last_soul_of(pc))


def visit(target: str, stick: Path, folder: Path, expected: Expectation, suspended: Suspended) -> Seen:
    """Wants the session back at the PC; what came of it. Only what is expected is waited for: raises EmulatedPcFailed
    when it does not come."""
    with at(target, stick, folder) as pc:
        findings = read_the_prompt(pc, folder)
        seen = Seen(expected.outcome, findings, pc.block_statistics().written_bytes)
        if expected.outcome is Outcome.RESUMED:
            return live_on(pc, folder, seen, suspended.soul)
        leave(pc)
    return replace(seen, generation=current_generation(stick))


def read_the_prompt(pc: RunningPc, folder: Path) -> tuple[dict[str, Any], ...]:
    """What the prompt says that this PC lacks. Raises EmulatedPcFailed when it is reported and not on the screen."""
    Person(pc).at_the_prompt()
    before = pc.screenshot(folder / "0-before.png")
    findings = tuple(event(pc, "fitness", TIMEOUT_SECONDS)["findings"])
    while not differs(before, pc.screenshot(folder / "1-prompt.png"), A_LINE_OF_PIXELS) and findings:
        if pc.seconds() > TIMEOUT_SECONDS:
            raise EmulatedPcFailed(f"{pc.profile.name} never showed what it lacks", f"see {folder}/1-prompt.png")
    return findings


def unlock(pc: RunningPc) -> None:
    """Types the passphrase at a prompt that takes keys; once more where keys were lost, as they are by a USB keyboard
    whose PC is too slow for it. Raises EmulatedPcFailed."""
    for _ in range(TYPING_ATTEMPTS):
        since = len(pc.serial())
        pc.type_text(PASSPHRASE)
        answer = entered(pc, since)
        if answer[1] == "unlocked":
            return
        pc.wait_for_serial("^SOULPAD prompt-ready", TIMEOUT_SECONDS, since=answer.end())
    raise EmulatedPcFailed(f"{pc.profile.name} never took the whole passphrase", "is this machine overloaded?")


def entered(pc: RunningPc, since: int) -> re.Match[str]:
    """What the PC says to the passphrase that was typed; Enter is pressed again where it seems to be lost."""
    pattern = r'"event": "(unlocked|wrong-passphrase)"'
    for _ in range(TYPING_ATTEMPTS):
        pc.press("ret")
        with suppress(WaitedInVain):
            return pc.wait_for_serial(pattern, ENTER_SECONDS, since=since)
    return pc.wait_for_serial(pattern, ENTER_SECONDS, since=since)


def leave(pc: RunningPc) -> None:
    """Switches the PC off at the prompt: F4, twice."""
    pc.press("f4")
    pc.press("f4")
    pc.wait_for_power_off(TIMEOUT_SECONDS)


def live_on(pc: RunningPc, folder: Path, seen: Seen, before: Soul) -> Seen:
    """Types the passphrase and works in the session until all of its memory was checked; then cuts the power."""
    unlock(pc)
    generation = int(event(pc, "running", TIMEOUT_SECONDS)["generation"])
    soul = soul_of(pc)
    while soul.boot_id == before.boot_id and soul.passes < before.passes + WHOLE_PASSES:
        soul = soul_of(pc)
    answer = command_guest(pc, "verify") if shows_sessions(pc.profile) else ""
    pc.screenshot(folder / "2-session.png")
    pc.kill()
    return replace(seen, generation=generation, soul=soul, answer=answer)


def soul_of(pc: RunningPc, pattern_mib: int = PATTERN_MIB) -> Soul:
    """The next report of the guest's program with its pattern in memory and its file on the disk. Raises
    EmulatedPcFailed when none comes."""
    since = len(pc.serial(GUEST_PORT))
    match = pc.wait_for_serial(GUEST_REPORT % pattern_mib, TIMEOUT_SECONDS, GUEST_PORT, since)
    return Soul.of(json.loads(match[1])["soul"])


def last_soul_of(pc: RunningPc, pattern_mib: int = PATTERN_MIB) -> Soul:
    """The last of its reports."""
    *_, last = re.finditer(GUEST_REPORT % pattern_mib, pc.serial(GUEST_PORT), re.MULTILINE)
    return Soul.of(json.loads(last[1])["soul"])


def current_generation(stick: Path) -> int | None:
    """Which checkpoint a stick's store, which nobody has open, says is current; None when anything in it is damaged."""
    with tempfile.TemporaryDirectory(dir=stick.parent) as folder:
        image = Path(folder) / "stick.img"
        run(["qemu-img", "convert", "-O", "raw", stick, image])
        found = inspect(image, Secret(PASSPHRASE.encode()))
    if found.problems or not found.parcels:
        return None
    return next((checkpoint.generation for checkpoint in found.parcels[0].checkpoints if checkpoint.current), None)
