"""Garbage collection: what no version needs goes. Mark and sweep beside writers, killed anywhere, with no clock.

Who adds versions (a writer) makes a pin, then notes what is doomed, then looks at what is there, relies on nothing of
the former, and removes its pin after its commit. The collector, of which there is one at a time, goes in this order:

1. It marks: it reads all versions and what they need. What they do not need it dooms, durably, in one mark.
2. It looks who has a pin, and deletes nothing before all of these are gone.
3. Then it marks again, and of what was doomed it deletes what is still not needed. The rest is doomed no more.

Why no committed version ever lacks anything. Let a version need pack X (or manifest X), and its writer have pin P.
- X was doomed when the writer looked: then it did not rely on X. What it inherits from its base and lies in doomed
  packs it stores again, and on top of a doomed manifest it makes a keyframe (upload.py). Its base was a version still
  when it committed, and so when it looked: what that needs was all there.
- X was doomed after the writer looked, and so after P was made: step 2 saw P and waited until it was gone, which is
  after the commit. So step 3 saw the version, and X stays.
A reader needs no pin: of a version that is committed nothing is deleted but packs whose living chunks were found whole
in other packs, and then the reader looks again. Killed anywhere, a mark is left, and the next collection goes on at
step 2; a second look there may await more pins, never fewer. Broken pins (``--break-pin``) are outside of this: so a
writer looks once more for its pin right before its commit.

A pack of which little is needed is rewritten: its living chunks are copied into a new pack, and then it is doomed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lookaside import pack
from lookaside.domain import ChunkId
from lookaside.errors import CorruptChunk, DamagedMarks, DamagedPack, RepositoryBusy
from lookaside.manifest import VersionName
from lookaside.marking import Living
from lookaside.marks import (
    COLLECTING,
    DOOMED,
    WRITING,
    Doom,
    Pin,
    awaiting,
    doom_path,
    dooms,
    is_gone,
    listed,
    new_doom,
    pinned,
    pins,
)
from lookaside.pack import Entry, PackName
from lookaside.packing import PackBin
from lookaside.repository import MANIFESTS, PACKS, Repository
from lookaside.rewriting import planned
from lookaside.sealing import Sealed
from soulpad.base.errors import BadInput, UnknownFormat
from soulpad.base.progress import Progress, Silent

REWRITE_BELOW = 0.5


@dataclass
class Collected:
    """What a collection did. ``waiting_bytes``: of packs that go once ``awaited`` are gone. ``unreadable``: packs and
    manifests that are left as they are, for soulpad recover."""

    deleted_packs: int = 0
    deleted_manifests: int = 0
    freed_bytes: int = 0
    rewritten_bytes: int = 0
    waiting_bytes: int = 0
    awaited: list[Pin] = field(default_factory=list)
    taken_away: list[Pin] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def collect(
    repository: Repository,
    *,
    rewrite_below: float = REWRITE_BELOW,
    broken: Collection[str] = (),
    progress: Progress | None = None,
) -> Collected:
    """Deletes what no version needs. ``rewrite_below``: the share of a pack that must live for it to stay as it is;
    ``broken``: ids of pins to be taken away.

    Raises RepositoryBusy, BadInput, OSError, and, before anything is deleted, what reading the versions raises.
    """
    with pinned(repository.root, COLLECTING) as own:
        taken_away = take_away(repository, own, broken)
        require_alone(repository, own)
        clear_unreadable_dooms(repository)
        collector = Collector(repository, own, progress or Silent())
        collector.result.taken_away = taken_away
        collector.run(rewrite_below)
        return collector.result


class Collector:
    """The only one at work in a repository."""

    def __init__(self, repository: Repository, own: Pin, progress: Progress) -> None:
        self._repository = repository
        self._root = repository.root
        self._own = own
        self._progress = progress
        self._living = Living(repository)
        self._tables: dict[PackName, list[Entry]] = {}
        self._doomed: set[PackName] = set()
        self.result = Collected()

    def run(self, rewrite_below: float) -> None:
        """What collections before this one began is done first."""
        self._progress.step("what versions need")
        self._living.look()
        self._read_tables()
        earlier = dooms(self._root)
        self._doomed = {name for doom in earlier for name in doom.packs}
        for doom in earlier:
            self._carry_out(doom)
        if new := self._doom(rewrite_below):
            self._carry_out(new)
        self._clear_staging()

    def _read_tables(self) -> None:
        for name in self._repository.packs():
            try:
                self._tables[name] = self._repository.entries(name)
            except (DamagedPack, UnknownFormat):
                self.result.unreadable.append(name)

    def _doom(self, rewrite_below: float) -> Doom | None:
        """Step 1 for what is not doomed yet."""
        plan = planned(
            {name: table for name, table in self._tables.items() if name not in self._doomed},
            self._living.chunks,
            rewrite_below,
        )
        self._progress.step("packs of which little is needed")
        rewritten = self._copied(plan.rewritten)
        manifests = frozenset(self._needless_manifests())
        packs = frozenset(plan.needless) | rewritten
        if not packs and not manifests:
            return None
        self._doomed |= packs
        return new_doom(self._root, self._repository.staging, packs, manifests)

    def _needless_manifests(self) -> Iterator[VersionName]:
        """Those that can be read: of the others nobody knows whose they are."""
        for name in self._repository.manifests():
            if name in self._living.unreadable:
                self.result.unreadable.append(name)
            elif name not in self._living.manifests:
                yield name

    def _copied(self, wanted: Mapping[PackName, Sequence[Entry]]) -> frozenset[PackName]:
        """Copies living chunks into new packs; returns the packs that gave all of theirs."""
        copies = PackBin(self._repository)
        whole = set()
        try:
            for name, entries in wanted.items():
                with suppress(CorruptChunk):
                    for entry in entries:
                        body = self._whole_body(name, entry)
                        copies.add(entry.chunk_id, entry.content_bytes, Sealed(entry.encoding, body))
                    whole.add(name)
            copies.finish()
        finally:
            copies.drop()
        for copy in copies.packs:
            self._tables[copy] = self._repository.entries(copy)
        self.result.rewritten_bytes += copies.stored_bytes
        return frozenset(whole)

    def _carry_out(self, doom: Doom) -> None:
        """Steps 2 and 3. Killed in the middle it is begun again, and finds less to do."""
        at_work = pins(self._root, WRITING)
        if doom.awaits is None:
            doom = self._awaiting(doom, at_work)
        if awaited := [pin for pin in at_work if pin.pin_id in (doom.awaits or ())]:
            self.result.awaited += [pin for pin in awaited if pin not in self.result.awaited]
            self.result.waiting_bytes += sum(self._pack_bytes(name) for name in doom.packs)
            return
        self._living.look()
        self._own.require()
        self._progress.step("deleting what nobody needs")
        holders = self._holders(doom.packs)
        for name in sorted(doom.packs & self._tables.keys()):
            if all(self._is_elsewhere(holders[chunk_id]) for chunk_id in self._needed_of(name)):
                self._delete(name)
            else:
                self._doomed.discard(name)
        for manifest in doom.manifests - self._living.manifests:
            self._repository.path(MANIFESTS, manifest).unlink(missing_ok=True)
            self.result.deleted_manifests += 1
        doom_path(self._root, doom.doom_id).unlink()  # commit point: what of it was needed is doomed no more

    def _awaiting(self, doom: Doom, at_work: list[Pin]) -> Doom:
        """The doom, which awaits these; written down only where it has to outlive this run."""
        awaits = frozenset(pin.pin_id for pin in at_work)
        return awaiting(self._root, self._repository.staging, doom, awaits) if awaits else replace(doom, awaits=awaits)

    def _needed_of(self, name: PackName) -> set[ChunkId]:
        return {entry.chunk_id for entry in self._tables[name] if entry.chunk_id in self._living.chunks}

    def _holders(self, packs: Collection[PackName]) -> dict[ChunkId, list[tuple[PackName, Entry]]]:
        """All places of what lives in these packs."""
        needed = set[ChunkId]().union(*(self._needed_of(name) for name in packs if name in self._tables))
        holders: dict[ChunkId, list[tuple[PackName, Entry]]] = {chunk_id: [] for chunk_id in needed}
        for name, table in self._tables.items():
            for entry in table:
                if entry.chunk_id in needed:
                    holders[entry.chunk_id].append((name, entry))
        return holders

    def _is_elsewhere(self, holders: Iterable[tuple[PackName, Entry]]) -> bool:
        """Whether a chunk was found whole in a pack that stays."""
        for name, entry in holders:
            if name not in self._doomed:
                with suppress(CorruptChunk, OSError):
                    self._whole_body(name, entry)
                    return True
        return False

    def _whole_body(self, name: PackName, entry: Entry) -> bytes:
        """Raises CorruptChunk, OSError."""
        with self._repository.path(PACKS, name).open("rb") as file:
            return pack.require_body(entry, pack.read_at(file, entry.body_offset, entry.body_bytes))

    def _delete(self, name: PackName) -> None:
        self.result.freed_bytes += self._pack_bytes(name)
        self.result.deleted_packs += 1
        self._repository.path(PACKS, name).unlink(missing_ok=True)
        del self._tables[name]

    def _pack_bytes(self, name: PackName) -> int:
        with suppress(FileNotFoundError):
            return self._repository.path(PACKS, name).stat().st_size
        return 0

    def _clear_staging(self) -> None:
        """What killed writers left. Listed before the pins are: who stages has one, older than what it staged."""
        left = list(self._repository.staging.iterdir())
        if not pins(self._root, WRITING):
            for path in left:
                path.unlink(missing_ok=True)


def take_away(repository: Repository, own: Pin, broken: Collection[str]) -> list[Pin]:
    """Removes the pins of processes that are seen to be gone, and those that the person named. Raises BadInput."""
    found = [pin for kind in (WRITING, COLLECTING) for pin in pins(repository.root, kind) if pin.pin_id != own.pin_id]
    if unknown := set(broken) - {pin.pin_id for pin in found}:
        raise BadInput(f"There is no pin {min(unknown)} in {repository.root}.", "soulpad collect lists those there are")
    gone = [pin for pin in found if pin.pin_id in broken or is_gone(pin.holder)]
    for pin in gone:
        pin.path.unlink(missing_ok=True)
    return gone


def require_alone(repository: Repository, own: Pin) -> None:
    """Raises RepositoryBusy. Of two who come at once both may be sent away, never none."""
    for pin in pins(repository.root, COLLECTING):
        if pin.pin_id != own.pin_id:
            raise RepositoryBusy(
                f"Garbage is being collected in {repository.root} already, by {pin}.",
                f"if that run is surely dead: soulpad collect {repository.root} --break-pin {pin.pin_id}",
            )


def clear_unreadable_dooms(repository: Repository) -> None:
    """Takes back what cannot be read: to doom nothing is always safe, and what is needless is doomed anew."""
    for doom_id, path in listed(repository.root, DOOMED):
        try:
            Doom.decode(doom_id, path.read_bytes())
        except DamagedMarks:
            path.unlink()
