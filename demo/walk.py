"""The flow of the demonstration: make the stick -> PC A -> PC B -> evidence. Run by ``make demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from builder.create import StickSpec, create_stick
from builder.guest.disk import build_guest
from builder.guest.parcels import ParcelRequest
from builder.guest.recipe import read_guest_recipe
from builder.host.image import build_host
from builder.keys import files_below, key_of
from builder.oneatatime import one_at_a_time
from builder.pc.profile import find_profile
from builder.pc.running import GuestPanicked
from builder.places import BUILD, IMAGES, ROOT
from builder.store.luks import LuksSpec
from demo import evidence
from demo.stations import Stay, stay
from soulpad.base.errors import Interrupted, SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret
from soulpad.base.units import GIB
from soulpad.cli.main import complain
from soulpad.cli.output import people, progress

FOLDER = BUILD / "demo"
HOST = IMAGES / "host.toml"
GUEST = IMAGES / "guest-demo.toml"
# Known to everybody: it protects an emulated guest that holds nothing, and the walk looks for it on the raw stick.
PASSPHRASE = "correct horse battery staple"
PCS = ("old-desktop", "secure-laptop")
STICK_BYTES = 4 * GIB
# Emulation is some 20 times slower than a PC: with the product's 256 MiB a guess takes half a minute there.
LUKS = LuksSpec(argon2_memory_kib=32 * 1024)
# The laboratory listens at the PC's serial ports: the host's milestones on the first, the guest's words on the second.
LABORATORY = ("soulpad.report=ttyS0", "soulpad.guest_serial=ttyS1")


def main(argv: list[str]) -> int:
    """Shows the walk and its evidence, or the kept evidence when nothing changed since; returns the exit code."""
    try:
        with progress() as bar:
            report, kept = walked(bar, again="--again" in argv)
    except SoulpadError as error:
        return complain(error)
    except KeyboardInterrupt:
        return complain(Interrupted("interrupted; the emulated PC is off", "run it again when you like"))
    if kept:
        people.print("nothing changed since this walk; to walk again: .venv/bin/python -m demo.walk --again")
    for line in evidence.closing_lines(report):
        people.print(line)
    people.print(f"report: {FOLDER / 'report.json'}   screenshots: {FOLDER}/*/*.png")
    return 0


def walked(bar: Progress, *, again: bool = False) -> tuple[dict[str, Any], bool]:
    """The report of a walk, and whether it is the kept one because nothing changed since (unless ``again``)."""
    key = walk_key(bar)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(FOLDER, bar, "walk"):
        kept = None if again else evidence.kept(FOLDER / "report.json", key)
        return kept or walk_with_a_retry(FOLDER, bar, key), kept is not None


def walk_key(bar: Progress) -> str:
    """The key of everything that a walk depends on; builds host and guest when they changed."""
    host = build_host(HOST, bar)
    guest = build_guest(GUEST, bar)
    sources = [
        path for name in ("builder", "demo", "soulpad/base", "soulpad/store") for path in files_below(ROOT / name)
    ]
    return key_of([host.folder.name, guest.name], [*sources, *files_below(IMAGES / "pcs")])


def walk_with_a_retry(folder: Path, bar: Progress, key: str = "") -> dict[str, Any]:
    """A walk; when a kernel panics in it, a second one, and the report says so: the emulator makes Linux panic once in
    a long while (docs/decisions/0005-emulator.md). Anything else that goes wrong fails at once."""
    try:
        return walk(folder, bar, key)
    except GuestPanicked as panic:
        bar.step(f"the emulator failed, the walk begins anew: {panic.message}")
        return walk(folder, bar, key, panic.message)


def walk(folder: Path, bar: Progress, key: str = "", begun_anew_because: str = "") -> dict[str, Any]:
    """One session wanders from PC A to PC B. Raises VerifyFailed when it is not the same one there."""
    settings = dict(read_guest_recipe(GUEST).settings)
    pattern_mib = int(settings["pattern_mib"])
    markers = [PASSPHRASE, *(str(value) for name, value in settings.items() if name.startswith("marker"))]
    folder.mkdir(parents=True, exist_ok=True)
    stick = make_stick(folder / "stick.img", bar)
    first = at(PCS[0], stick, folder, pattern_mib, bar)
    second = at(PCS[1], stick, folder, pattern_mib, bar)
    bar.step("looking for the session's markers on the raw stick")
    report = evidence.report_of(stick, [first, second], pattern_mib, markers)
    report["markers_found"] = evidence.found_in(stick, markers)
    report["key"] = key
    report["begun_anew_because"] = begun_anew_because
    evidence.save(report, folder / "report.json")
    return evidence.judge(report)


def make_stick(stick: Path, bar: Progress) -> Path:
    """A stick whose parcel was never run, and its auxiliary key file beside it."""
    for old_key in stick.parent.glob("soulpad-*.key"):
        old_key.unlink()
    spec = StickSpec(STICK_BYTES, (ParcelRequest("demo", GUEST),), HOST, "us", LUKS, LABORATORY)
    return create_stick(stick, spec, Secret(PASSPHRASE.encode()), stick.parent, bar).image


def at(name: str, stick: Path, folder: Path, pattern_mib: int, bar: Progress) -> Stay:
    """A stay at one of the emulated PCs, in a folder that is new."""
    room = folder / name
    shutil.rmtree(room, ignore_errors=True)
    return stay(find_profile(name), stick, room, Secret(PASSPHRASE.encode()), pattern_mib, bar)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
