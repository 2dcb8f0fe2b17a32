"""Where the sticks, the sessions and the results of trips lie, so that a run that was broken off goes on.

build/pairs/KEY/sticks/CLASS.img            a stick with one parcel of that class, never run
build/pairs/KEY/sessions/NAME/              the session of that name, suspended: stick.qcow2, suspended.json
build/pairs/KEY/trips/NAME-to-PC/           its trip to a PC: pictures, logs and, when it is over, result.json

KEY changes with everything that a trip depends on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from builder.create import StickSpec, create_stick
from builder.guest.disk import build_guest
from builder.guest.parcels import ParcelRequest
from builder.host.image import build_host
from builder.keys import KEY_DIGITS, files_below, key_of
from builder.places import BUILD, ROOT
from demo.walk import HOST, LABORATORY, LUKS, PASSPHRASE
from soulpad.base.durable import write_durably
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret
from soulpad.base.units import GIB
from soulpad.store.cpuclass import class_named
from tests.pairs.plan import Session, Trip
from tests.pairs.report import Result
from tests.pairs.seen import Suspended

FOLDER = BUILD / "pairs"
GUEST = ROOT / "tests/pairs/guest.toml"
STICK_BYTES = 3 * GIB
FOLDERS = ("builder", "images/pcs", "soulpad/base", "soulpad/store")
FILES = (
    *("demo/stations.py", "demo/walk.py", "tests/boot/person.py"),
    *("tests/pairs/plan.py", "tests/pairs/seen.py", "tests/pairs/stays.py"),
)


@dataclass(frozen=True)
class Lab:
    """``folder``: build/pairs/KEY."""

    folder: Path

    def stick(self, cpu_class: str) -> Path:
        return self.folder / "sticks" / f"{cpu_class}.img"

    def session(self, session: Session) -> Path:
        return self.folder / "sessions" / session.name

    def trip(self, trip: Trip) -> Path:
        return self.folder / "trips" / f"{trip.session.name}-to-{trip.target}"

    def suspended(self, session: Session) -> Suspended | None:
        """The session as it was suspended here, if it was."""
        try:
            return Suspended.decode((self.session(session) / "suspended.json").read_text())
        except FileNotFoundError:
            return None

    def keep_suspended(self, session: Session, suspended: Suspended) -> None:
        """Says that the session's stick is whole."""
        write_durably(self.session(session) / "suspended.json", json.dumps(asdict(suspended)).encode())

    def result(self, trip: Trip) -> Result | None:
        """What came of a trip that is over, if it was what had to come."""
        try:
            result = Result.decode((self.trip(trip) / "result.json").read_text())
        except FileNotFoundError:
            return None
        return None if result.problems else result

    def keep_result(self, result: Result) -> None:
        """Says what came of a trip."""
        write_durably(self.trip(result.trip) / "result.json", result.encode().encode())


def furnish(cpu_classes: Iterable[str], progress: Progress) -> Lab:
    """The lab with a stick for each class; what earlier code left is removed."""
    host = build_host(HOST, progress)
    guest = build_guest(GUEST, progress)
    sources = [path for name in FOLDERS for path in files_below(ROOT / name)]
    key = key_of([host.folder.name, guest.name], [*sources, *(ROOT / name for name in FILES)])
    lab = Lab(FOLDER / key)
    for old in FOLDER.glob("[0-9a-f]" * KEY_DIGITS):
        if old != lab.folder:
            shutil.rmtree(old)
    for cpu_class in cpu_classes:
        make_stick(lab.stick(cpu_class), cpu_class, progress)
    return lab


def make_stick(stick: Path, cpu_class: str, progress: Progress) -> None:
    """A stick with one parcel of the class, that was never run."""
    if stick.exists():
        return
    stick.parent.mkdir(parents=True, exist_ok=True)
    parcel = ParcelRequest("wanderer", GUEST, cpu_class=class_named(cpu_class))
    spec = StickSpec(STICK_BYTES, (parcel,), HOST, "us", LUKS, LABORATORY)
    create_stick(stick, spec, Secret(PASSPHRASE.encode()), None, progress)
