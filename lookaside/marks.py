"""Marks: who is at work in a repository, and what is about to be deleted from it. collecting.py says what for.

    marks/writing-ID      a pin: somebody adds or forgets versions
    marks/collecting-ID   somebody collects garbage
    marks/doomed-ID       JSON: "packs" and "manifests", lists of names that nobody may begin to rely on; "awaits", the
                          ids of the pins that must be gone before anything is deleted, or null: nobody looked yet

ID: 32 hex digits, drawn at random, never used twice. A pin holds JSON about the process that made it: "boot", the
kernel's boot id; "pids", its namespace of process ids; "pid"; "began", in the kernel's ticks since boot; "host", its
name, for people. What counts is the file's name: a pin whose content a crash swallowed holds all the same.

All marks lie in one folder: who makes one changes the folder, and so sees what others made in it before, also on NFS,
where a client may keep a folder's list for a minute that it has not changed itself.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex

from lookaside.errors import DamagedMarks, PinBroken
from lookaside.manifest import VersionName
from lookaside.pack import PackName
from lookaside.placing import make_folder, place
from soulpad.base.durable import fsync_path

MARKS = "marks"
WRITING, COLLECTING, DOOMED = "writing", "collecting", "doomed"
_LARGEST_PIN_BYTES = 4096


@dataclass(frozen=True)
class Holder:
    """A process, as a pin tells it."""

    boot: str
    pids: str
    pid: int
    began: int
    host: str


@dataclass(frozen=True)
class Pin:
    """Somebody at work. ``holder``: None where the pin does not tell."""

    root: Path
    kind: str
    pin_id: str
    holder: Holder | None = None

    @property
    def path(self) -> Path:
        return self.root / MARKS / f"{self.kind}-{self.pin_id}"

    def require(self) -> None:
        """Raises PinBroken when somebody took the pin away."""
        if not self.path.exists():
            raise PinBroken(
                f"Somebody broke this run's pin in {self.root} meanwhile, so what it relies on may be gone.",
                "run it again: what it stored already is found",
            )

    def __str__(self) -> str:
        who = f"process {self.holder.pid} on {self.holder.host}" if self.holder else "somebody unknown"
        return f"{self.pin_id} ({who})"


@dataclass(frozen=True)
class Doom:
    """What is about to be deleted together. ``awaits``: None: nobody has looked yet who is at work."""

    doom_id: str
    packs: frozenset[PackName]
    manifests: frozenset[VersionName]
    awaits: frozenset[str] | None = None

    def encode(self) -> bytes:
        fields = {
            "packs": sorted(self.packs),
            "manifests": sorted(self.manifests),
            "awaits": None if self.awaits is None else sorted(self.awaits),
        }
        return (json.dumps(fields, indent=1) + "\n").encode()

    @classmethod
    def decode(cls, doom_id: str, content: bytes) -> Doom:
        """Raises DamagedMarks."""
        try:
            fields = json.loads(content)
            packs, manifests, awaits = (texts(fields[name]) for name in ("packs", "manifests", "awaits"))
        except (ValueError, KeyError, TypeError, RecursionError):
            packs = manifests = awaits = None
        if packs is None or manifests is None:
            raise DamagedMarks(
                f"The mark {DOOMED}-{doom_id} cannot be read: it says what is about to be deleted.",
                "soulpad collect takes it away and begins anew",
            )
        return cls(doom_id, frozenset(map(PackName, packs)), frozenset(map(VersionName, manifests)), awaits)


@dataclass(frozen=True)
class Doomed:
    """All that nobody may begin to rely on."""

    packs: frozenset[PackName] = frozenset()
    manifests: frozenset[VersionName] = frozenset()

    @property
    def anything(self) -> bool:
        return bool(self.packs or self.manifests)


def doomed_now(root: Path) -> Doomed:
    """What is doomed at this moment. Raises DamagedMarks."""
    found = dooms(root)
    packs = frozenset[PackName]().union(*(doom.packs for doom in found))
    return Doomed(packs, frozenset[VersionName]().union(*(doom.manifests for doom in found)))


def texts(found: object) -> frozenset[str] | None:
    """A list of texts out of JSON; None for null. Raises TypeError."""
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise TypeError
    return frozenset(found)


@contextmanager
def pinned(root: Path, kind: str = WRITING) -> Iterator[Pin]:
    """A pin, durable before the block begins and gone when it ends. Raises OSError."""
    pin = make_pin(root, kind)
    try:
        yield pin
    finally:
        pin.path.unlink(missing_ok=True)  # after a crash it may be there again, which is as if the run had been killed


def make_pin(root: Path, kind: str) -> Pin:
    """Makes this process's pin, durably. Not staged: the collector clears the staging folder when nobody has a pin."""
    pin = Pin(root, kind, token_hex(16), this_process())
    make_folder(root / MARKS)
    with pin.path.open("xb") as file:
        file.write(json.dumps(asdict(this_process())).encode())
        file.flush()
        os.fsync(file.fileno())
    fsync_path(root / MARKS)
    return pin


def pins(root: Path, kind: str = WRITING) -> list[Pin]:
    """All of that kind that are there now."""
    return [Pin(root, kind, pin_id, holder_in(path)) for pin_id, path in listed(root, kind)]


def dooms(root: Path) -> list[Doom]:
    """All that is about to be deleted. Raises DamagedMarks."""
    found = []
    for doom_id, path in listed(root, DOOMED):
        with suppress(FileNotFoundError):  # carried out or taken back meanwhile
            found.append(Doom.decode(doom_id, path.read_bytes()))
    return found


def new_doom(root: Path, staging: Path, packs: frozenset[PackName], manifests: frozenset[VersionName]) -> Doom:
    """From now on, durably, nobody begins to rely on these."""
    return put_doom(root, staging, Doom(token_hex(16), packs, manifests))


def awaiting(root: Path, staging: Path, doom: Doom, pin_ids: frozenset[str]) -> Doom:
    """The doom, which now says whom it awaits."""
    return put_doom(root, staging, replace(doom, awaits=pin_ids))


def put_doom(root: Path, staging: Path, doom: Doom) -> Doom:
    make_folder(root / MARKS)
    place(doom.encode(), doom_path(root, doom.doom_id), staging)
    return doom


def doom_path(root: Path, doom_id: str) -> Path:
    return root / MARKS / f"{DOOMED}-{doom_id}"


def listed(root: Path, kind: str) -> Iterator[tuple[str, Path]]:
    """Id and path of each mark of a kind."""
    folder = root / MARKS
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found, _, mark_id = path.name.partition("-")
        if found == kind and mark_id:
            yield mark_id, path


def holder_in(path: Path) -> Holder | None:
    """Who made a pin; None where it does not say."""
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(_LARGEST_PIN_BYTES))
        return Holder(
            str(fields["boot"]), str(fields["pids"]), int(fields["pid"]), int(fields["began"]), str(fields["host"])
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def this_process() -> Holder:
    """The one that asks."""
    began = began_ticks(os.getpid())
    return Holder(boot_id(), str(Path("/proc/self/ns/pid").readlink()), os.getpid(), began or 0, platform.node())


def is_gone(holder: Holder | None) -> bool:
    """Whether the process is seen to have ended: of one on another machine, or of another boot, that is not known."""
    here = this_process()
    if holder is None or (holder.boot, holder.pids) != (here.boot, here.pids):
        return False
    return began_ticks(holder.pid) != holder.began


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def began_ticks(pid: int) -> int | None:
    """When a process began (proc_pid_stat(5), field 22), which tells it from a later one of the same id; None: gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19])
