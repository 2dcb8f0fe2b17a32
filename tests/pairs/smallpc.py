"""A session with more memory than the PC that it is wanted back at: begun where there is enough, gone on with where
there is not, and taken back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from builder.create import StickSpec, create_stick
from builder.guest.parcels import ParcelRequest
from demo.stations import GUEST_PORT, command_guest, event
from demo.walk import HOST, LABORATORY, LUKS, PASSPHRASE
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret
from soulpad.base.units import GIB
from soulpad.cli.output import people
from tests.pairs.lab import FOLDER, GUEST
from tests.pairs.seen import Soul
from tests.pairs.stays import TIMEOUT_SECONDS, at, overlay, read_the_prompt, soul_of, unlock

PATIENCE_SECONDS = 3 * 3600  # gigabytes that an emulated guest fills or reads, a page at a time
# The kernel tells the serial port whom it kills for want of memory; the screen stays the prompt's.
TELLING = ("console=ttyS0", "console=tty0", "loglevel=4")
KILLED = re.compile(r".*(?:oom-kill|Killed process).*")
STICK_BYTES = 16 * GIB
VERIFY = "verify"


@dataclass(frozen=True)
class Scene:
    """A parcel of ``memory_mib``, of which its guest fills ``pattern_mib`` at the PC ``big`` and rewrites
    ``touched_mib`` at the PC ``small``."""

    big: str
    small: str
    memory_mib: int
    pattern_mib: int
    touched_mib: int


# What was promised, and the same in less time.
SCENES = {
    "4GiB-on-2GiB": Scene("new-desktop", "old-desktop", 4096, 2560, 256),
    "2GiB-on-1GiB": Scene("uefi-desktop", "netbook", 2048, 1280, 128),
}


@dataclass(frozen=True)
class Stayed:
    """What was seen at one PC. ``answers``: of the guest, by command. ``killed``: what the kernel said of processes
    that it killed."""

    findings: tuple[Mapping[str, Any], ...]
    soul: Soul
    answers: Mapping[str, str]
    killed: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


def play(scene: Scene, progress: Progress) -> list[Stayed]:
    """Three stays: at the big PC, at the small one, at the big one again. Raises EmulatedPcFailed."""
    folder = FOLDER / "small-pc"
    folder.mkdir(parents=True, exist_ok=True)
    parcel = ParcelRequest("large", GUEST, scene.memory_mib)
    spec = StickSpec(STICK_BYTES, (parcel,), HOST, "us", LUKS, (*LABORATORY, *TELLING))
    image = create_stick(folder / "stick.img", spec, Secret(PASSPHRASE.encode()), None, progress).image
    stick = overlay(image, folder / "stick.qcow2")
    return [
        stay(scene, scene.big, stick, folder / "1", [fill(scene)]),
        stay(scene, scene.small, stick, folder / "2", [VERIFY, touch(scene)]),
        stay(scene, scene.big, stick, folder / "3", [VERIFY]),
    ]


def fill(scene: Scene) -> str:
    return f"pattern {scene.pattern_mib}"


def touch(scene: Scene) -> str:
    return f"touch {scene.touched_mib}"


def stay(scene: Scene, name: str, stick: Path, folder: Path, commands: list[str]) -> Stayed:
    """Switches the PC on, has the guest do what is typed, suspends the session."""
    with at(name, stick, folder) as pc:
        findings = read_the_prompt(pc, folder)
        unlock(pc)
        event(pc, "running", TIMEOUT_SECONDS)
        noted = {"running": pc.seconds()}
        people.print(f"  {name}: the session runs after {pc.seconds():.0f} s")
        pc.wait_for_serial(r'^\{"soul": ', PATIENCE_SECONDS, GUEST_PORT)
        answers = {}
        for command in commands:
            answers[command] = command_guest(pc, command, PATIENCE_SECONDS)
            noted[command] = pc.seconds()
            people.print(f"  {name}: {command}: {answers[command]} (after {pc.seconds():.0f} s)")
        pc.screenshot(folder / "3-session.png")
        soul = soul_of(pc, scene.pattern_mib)
        pc.press_power_button()
        event(pc, "suspended", PATIENCE_SECONDS)
        noted["suspended"] = pc.seconds()
        pc.wait_for_power_off(TIMEOUT_SECONDS)
        people.print(f"  {name}: suspended and off after {pc.seconds():.0f} s")
        return Stayed(findings, soul, answers, tuple(KILLED.findall(pc.serial())), noted)


def problems(scene: Scene, stays: Sequence[Stayed]) -> list[str]:
    """What is not as it must be, a sentence each."""
    first, second, third = stays
    whole = f"{scene.pattern_mib} MiB are as they were"
    said = [(finding["kind"], finding["refuses"], "slower" in finding["message"]) for finding in second.findings]
    claims = {
        "the memory was filled": first.answers[fill(scene)] == "filled",
        "the small PC's prompt says that it will be slower, and no more": said == [("memory", False, True)],
        "the big PC's prompt says nothing": not first.findings and not third.findings,
        "the small PC has all of the memory": second.answers[VERIFY] == whole,
        "the small PC can rewrite it": second.answers[touch(scene)] == "rewritten",
        "it came back to the big PC": third.answers[VERIFY] == whole,
        "it is the same guest": len({stayed.soul.boot_id for stayed in stays}) == 1,
        "its counter goes on": first.soul.counter < second.soul.counter < third.soul.counter,
        "nothing was killed for want of memory": not any(stayed.killed for stayed in stays),
    }
    return [f"not so: {claim}" for claim, holds in claims.items() if not holds]


def report_of(scene: Scene, stays: Sequence[Stayed]) -> dict[str, Any]:
    """What was seen, and what of it is wrong."""
    return {"scene": asdict(scene), "stays": [asdict(stayed) for stayed in stays], "problems": problems(scene, stays)}
