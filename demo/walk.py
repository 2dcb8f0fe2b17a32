"""The flow of the demonstration: make the stick -> PC A -> PC B -> evidence. Run by ``make demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from builder.create import StickSpec, create_stick
from builder.guest.parcels import ParcelRequest
from builder.guest.recipe import read_guest_recipe
from builder.pc.profile import find_profile
from builder.places import BUILD, IMAGES
from builder.store.luks import LuksSpec
from demo import evidence
from demo.stations import Stay, stay
from soulpad.base.errors import SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret
from soulpad.base.units import GIB
from soulpad.cli.main import complain
from soulpad.cli.output import people, progress

FOLDER = BUILD / "demo"
GUEST = IMAGES / "guest-demo.toml"
# Known to everybody: it protects an emulated guest that holds nothing, and the walk looks for it on the raw stick.
PASSPHRASE = "correct horse battery staple"
PCS = ("old-desktop", "secure-laptop")
STICK_BYTES = 4 * GIB
# Emulation is some 20 times slower than a PC: with the product's 256 MiB a guess takes half a minute there.
LUKS = LuksSpec(argon2_memory_kib=32 * 1024)
# The laboratory listens at the PC's serial ports: the host's milestones on the first, the guest's words on the second.
LABORATORY = ("soulpad.report=ttyS0", "soulpad.guest_serial=ttyS1")


def main() -> int:
    """Shows the walk and its evidence; returns the exit code."""
    try:
        with progress() as bar:
            report = walk(FOLDER, bar)
    except SoulpadError as error:
        return complain(error)
    for line in evidence.closing_lines(report):
        people.print(line)
    people.print(f"report: {FOLDER / 'report.json'}   screenshots: {FOLDER}/*/*.png")
    return 0


def walk(folder: Path, bar: Progress) -> dict[str, object]:
    """One session wanders from PC A to PC B. Raises VerifyFailed when it is not the same one there."""
    settings = dict(read_guest_recipe(GUEST).settings)
    pattern_mib = int(settings["pattern_mib"])
    markers = [PASSPHRASE, *(str(value) for name, value in settings.items() if name.startswith("marker"))]
    folder.mkdir(parents=True, exist_ok=True)
    stick = make_stick(folder / "stick.img", bar)
    first = at(PCS[0], stick, folder, pattern_mib, ["write a line typed at PC A"], bar)
    second = at(PCS[1], stick, folder, pattern_mib, ["verify"], bar)
    bar.step("looking for the session's markers on the raw stick")
    report = evidence.report_of(stick, [first, second], pattern_mib, markers)
    report["markers_found"] = evidence.found_in(stick, markers)
    evidence.save(report, folder / "report.json")
    return evidence.judge(report)


def make_stick(stick: Path, bar: Progress) -> Path:
    """A stick whose parcel was never run, and its auxiliary key file beside it."""
    for old_key in stick.parent.glob("soulpad-*.key"):
        old_key.unlink()
    spec = StickSpec(STICK_BYTES, (ParcelRequest("demo", GUEST),), IMAGES / "host.toml", "us", LUKS, LABORATORY)
    return create_stick(stick, spec, Secret(PASSPHRASE.encode()), stick.parent, bar).image


def at(name: str, stick: Path, folder: Path, pattern_mib: int, commands: list[str], bar: Progress) -> Stay:
    """A stay at one of the emulated PCs, in a folder that is new."""
    room = folder / name
    shutil.rmtree(room, ignore_errors=True)
    return stay(find_profile(name), stick, room, Secret(PASSPHRASE.encode()), pattern_mib, commands, bar)


if __name__ == "__main__":
    sys.exit(main())
