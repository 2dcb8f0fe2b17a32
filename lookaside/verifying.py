"""Verifying a repository: reads, compares, says what is not whole and what that costs. Writes nothing, not even a mark.

Without the key: every pack and manifest has the bytes that its name says, packs can be taken apart, numbers name
manifests. With it also: every version can be put together, and each chunk that it needs is there and has the content
that its id says. With a share, packs drawn at random are read; all else is small and always read whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lookaside import pack
from lookaside.domain import ChunkId, Domain, DomainId
from lookaside.errors import CorruptChunk, DamagedManifest, DamagedMarks, ForeignDomain
from lookaside.framing import HEADER_BYTES, NotWhole, domain_in
from lookaside.lacking import Lacking, lacking, lacks_outlines
from lookaside.manifest import MAGIC, VERSION, version_name
from lookaside.marks import dooms
from lookaside.pack import Entry, PackName
from lookaside.repository import (
    FORGOTTEN,
    MANIFESTS,
    PACKS,
    VERSIONS,
    Repository,
    digits,
    domain_id_of,
    names_in,
    numbered,
    path_of,
    read_name,
)
from lookaside.versions import InTurn, Version
from soulpad.base.errors import SoulpadError
from soulpad.base.progress import Progress, Silent

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Incomplete:
    """A version that cannot be restored whole. ``what``: why; ``lost``: the bytes, where it is known which."""

    parcel: str
    number: int
    what: str
    lost: Lacking


@dataclass
class Verified:
    """What was looked at and found. ``pack_bytes_read`` of ``pack_bytes``: the share that was covered. ``versions`` is
    None without the key. ``notes``: what is odd and costs nothing."""

    packs: int = 0
    packs_read: int = 0
    pack_bytes: int = 0
    pack_bytes_read: int = 0
    manifests: int = 0
    manifest_bytes: int = 0
    versions: int | None = None
    findings: list[str] = field(default_factory=list)
    incomplete: list[Incomplete] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.findings and not self.incomplete


def verify(root: Path, domain: Domain | None, share: float = 1.0, progress: Progress | None = None) -> Verified:
    """Looks at the repository in ``root``. ``share``: of the packs' bytes, above 0 and up to 1.

    Raises NoRepository, UnknownFormat, ForeignDomain, OSError.
    """
    domain_id = domain_id_of(root)
    repository = Repository.open(root, domain) if domain else None
    check = Check(root, domain_id, domain, progress or Silent())
    check.packs(share)
    check.manifests()
    check.numbers()
    check.marks()
    if repository:
        check.versions(repository)
    return check.result


class Check:
    """One look at a repository."""

    def __init__(self, root: Path, domain_id: DomainId, domain: Domain | None, progress: Progress) -> None:
        self._root = root
        self._domain_id = domain_id
        self._domain = domain
        self._progress = progress
        self._whole: set[ChunkId] = set()
        self.result = Verified()

    def packs(self, share: float) -> None:
        """Each pack's table, and the bytes of those that were drawn."""
        sizes = {PackName(name): self._size(PACKS, name) for name in names_in(self._root / PACKS)}
        self.result.packs, self.result.pack_bytes = len(sizes), sum(sizes.values())
        self._progress.step("packs")
        chosen = drawn(sizes, share)
        for name in sorted(sizes):
            try:
                if name in chosen:
                    self._read_pack(name)
                    self.result.packs_read += 1
                    self.result.pack_bytes_read += sizes[name]
                    self._progress.advance(self.result.pack_bytes_read, sum(sizes[name] for name in chosen))
                else:
                    self._whole.update(entry.chunk_id for entry in self._entries(name))
            except (SoulpadError, OSError) as error:
                self._found(f"pack {name[:12]}", error)

    def manifests(self) -> None:
        """That each has the bytes that its name says, and this repository's domain."""
        for name in sorted(names_in(self._root / MANIFESTS)):
            self.result.manifests += 1
            try:
                content = path_of(self._root, MANIFESTS, name).read_bytes()
                self.result.manifest_bytes += len(content)
                if version_name(content) != name:
                    raise DamagedManifest("it is altered or cut short")
                if domain_in(content[:HEADER_BYTES], MAGIC, VERSION) != self._domain_id:
                    raise ForeignDomain("it belongs to another key")
            except NotWhole:
                self.result.findings.append(f"manifest {name[:12]}: its header is altered")
            except (SoulpadError, OSError) as error:
                self._found(f"manifest {name[:12]}", error)

    def numbers(self) -> None:
        """That each names a manifest that is there, and that none below the highest is missing."""
        for folder in sorted((self._root / VERSIONS).iterdir()):
            found = set(numbered(folder)) if folder.is_dir() else set()
            for number in sorted(set(range(max(found, default=-1))) - found):
                self.result.findings.append(f"parcel {folder.name}: the file of version {number} is missing")
            for number in sorted(found):
                try:
                    name = read_name(folder / digits(number))
                    if name != FORGOTTEN and not path_of(self._root, MANIFESTS, name).is_file():
                        raise DamagedManifest("its manifest is missing")
                except (SoulpadError, OSError) as error:
                    self._found(f"parcel {folder.name}, version {number}", error)

    def marks(self) -> None:
        try:
            dooms(self._root)
        except (DamagedMarks, OSError) as error:
            self._found("marks", error)

    def versions(self, repository: Repository) -> None:
        """That each can be put together of chunks that are there."""
        self._progress.step("versions")
        self.result.versions = 0
        in_turn = InTurn(repository.manifest)
        for parcel in repository.parcels():
            for number in repository.numbers(parcel):
                try:
                    name = read_name(self._root / VERSIONS / parcel / digits(number))
                    if name == FORGOTTEN:
                        continue
                    self.result.versions += 1
                    version = in_turn.resolved(name)
                    if (version.manifest.parcel, version.manifest.sequence) != (parcel, number):
                        raise DamagedManifest("its number names another version")
                    lost = lacking(version, self._whole)
                    self._note_outlines(version)
                except (SoulpadError, OSError) as error:
                    self.result.incomplete.append(Incomplete(parcel, number, in_words(error), {}))
                    continue
                if lost:
                    self.result.incomplete.append(Incomplete(parcel, number, "chunks are missing or damaged", lost))
        self._note_unnumbered(repository)

    def _note_unnumbered(self, repository: Repository) -> None:
        for name in repository.manifests():
            try:
                manifest = repository.manifest(name)
            except (SoulpadError, OSError):
                continue  # found before
            if manifest.sequence not in repository.numbers(manifest.parcel):
                self.result.notes.append(
                    f"parcel {manifest.parcel}: version {manifest.sequence} has a manifest and no number: "
                    "a backup was broken off at its very end, or the file of the number was lost"
                )

    def _note_outlines(self, version: Version) -> None:
        if lacks_outlines(version, self._whole):
            self.result.notes.append(
                f"parcel {version.manifest.parcel}: version {version.manifest.sequence} lacks outlines: a restore with "
                "a stick at hand takes more from the repository"
            )

    def _entries(self, name: PackName) -> list[Entry]:
        """A pack's table. Raises DamagedPack, UnknownFormat, ForeignDomain, OSError."""
        path = path_of(self._root, PACKS, name)
        with path.open("rb") as file:
            if pack.domain_of(file) != self._domain_id:
                raise ForeignDomain("it belongs to another key")
            return pack.read_entries(file, path.stat().st_size)

    def _read_pack(self, name: PackName) -> None:
        """All of a pack. Raises as ``_entries``; damaged chunks are found here."""
        entries = self._entries(name)
        damaged = 0
        with path_of(self._root, PACKS, name).open("rb") as file:
            right = pack.name_of(read_in_pieces(file)) == name
            for entry in entries:
                try:
                    body = pack.require_body(entry, pack.read_at(file, entry.body_offset, entry.body_bytes))
                    if self._domain:
                        pack.open_chunk(self._domain, entry, body)
                    self._whole.add(entry.chunk_id)
                except CorruptChunk:
                    damaged += 1
        if damaged:
            self.result.findings.append(f"pack {name[:12]}: {damaged} of its {len(entries)} chunks are damaged")
        elif not right:
            self.result.findings.append(f"pack {name[:12]}: some of its bytes are altered, but no chunk")

    def _size(self, kind: str, name: str) -> int:
        return path_of(self._root, kind, name).stat().st_size

    def _found(self, where: str, error: SoulpadError | OSError) -> None:
        self.result.findings.append(f"{where}: {in_words(error)}")


def drawn(sizes: dict[PackName, int], share: float) -> set[PackName]:
    """Packs drawn at random that have at least that share of all bytes."""
    names: Sequence[PackName] = sorted(sizes)
    wanted, taken, chosen = share * sum(sizes.values()), 0, set[PackName]()
    for name in random.SystemRandom().sample(names, len(names)):
        if taken >= wanted:
            break
        chosen.add(name)
        taken += sizes[name]
    return chosen


def read_in_pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


def in_words(error: SoulpadError | OSError) -> str:
    """One line for a person."""
    return error.message if isinstance(error, SoulpadError) else f"it cannot be read ({error.strerror})"
