"""Salvaging: what is whole in a damaged repository goes into a new one; what is lost is told. Reads only the old one.

Packs whose bytes fit their name are copied as they are. Of others the whole entries are taken, found by their heads
(see pack). Versions are found by their manifests, which say parcel and number, so files of numbers may be missing. A
version of which something is lacking gets no number in the new repository, unless that is asked for: then it is
rewritten as a keyframe with zeros where something is lacking, and a document ``lost.json`` says where.

What a crash leaves: a folder ``.NAME.partial`` beside the new repository's place, which the next run replaces.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from lookaside import manifest, pack
from lookaside.domain import Domain, DomainId
from lookaside.errors import CorruptChunk, DamagedManifest, ForeignDomain, NoRepository
from lookaside.framing import HEADER_BYTES, NotWhole, domain_in
from lookaside.keyring import Key, slots, unlock
from lookaside.keyslots import KeySlot, unwrap
from lookaside.lacking import lacking, without_lost
from lookaside.manifest import Manifest, VersionName, decode_manifest, encode_manifest, version_name
from lookaside.packing import PackBin
from lookaside.patient import Patient
from lookaside.placing import give_name, new_name, place
from lookaside.repository import FORGOTTEN, KEYS, MANIFESTS, PACKS, VERSIONS, Repository, digits, numbered, read_name
from lookaside.sealing import Sealed
from lookaside.verifying import Incomplete, in_words, read_in_pieces
from lookaside.versions import resolved
from soulpad.base.durable import fsync_path
from soulpad.base.errors import SoulpadError, UnknownFormat
from soulpad.base.progress import Progress, Silent


@dataclass
class Salvaged:
    """What was saved. ``saved_chunks``: out of damaged packs. ``partial``: versions that got a number though something
    is lacking; ``lost``: those that got none. ``found_by_manifest``: versions whose number was missing."""

    packs: int = 0
    damaged_packs: int = 0
    saved_chunks: int = 0
    lost_manifests: int = 0
    versions: int = 0
    found_by_manifest: int = 0
    partial: list[Incomplete] = field(default_factory=list)
    lost: list[Incomplete] = field(default_factory=list)

    @property
    def all_saved(self) -> bool:
        return not self.partial and not self.lost and not self.lost_manifests


def salvage(
    root: Path, domain: Domain, target: Path, *, partial: bool = False, progress: Progress | None = None
) -> Salvaged:
    """Makes a repository in ``target``, a new or an empty folder, of what is whole in ``root``. ``partial``: versions
    of which something is lacking get their number too. Raises NoRepository, OSError of the new one."""
    if not (root / PACKS).is_dir() and not (root / MANIFESTS).is_dir():
        raise NoRepository(f"{root} has neither packs nor manifests.", "look at its name")
    if target.exists() and any(target.iterdir()):
        raise NoRepository(f"{target} is not empty, so no repository is made in it.", "name a new or an empty folder")
    staged = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    salvager = Salvager(root, Repository.create(staged, domain), progress or Silent())
    salvager.packs()
    salvager.manifests()
    salvager.versions(partial)
    salvager.keys()
    staged.replace(target)  # commit point
    fsync_path(target.parent)
    return salvager.result


def domain_of_damaged(root: Path, key: Key) -> Domain:
    """The repository's keys, also where the file that names its domain is damaged: packs and manifests name it too.
    Raises as ``unlock`` does, and NoRepository where nothing names a domain."""
    try:
        return unlock(root, key)
    except (NoRepository, UnknownFormat) as error:
        for domain_id in domains_below(root):
            for slot in slots(root, domain_id).values():
                if isinstance(slot, KeySlot) and slot.kind == key.kind and (domain := unwrap(slot, key.secret)):
                    return domain
        raise error


def domains_below(root: Path) -> Iterator[DomainId]:
    """The domains that packs and manifests name, each once."""
    seen = set()
    for kind, magic, version in ((PACKS, pack.MAGIC, pack.VERSION), (MANIFESTS, manifest.MAGIC, manifest.VERSION)):
        for path in files_below(root / kind):
            with suppress(OSError, NotWhole, UnknownFormat), path.open("rb") as file:
                domain_id = domain_in(file.read(HEADER_BYTES), magic, version)
                if domain_id not in seen:
                    seen.add(domain_id)
                    yield domain_id


class Salvager:
    """One run, from the folder ``root`` into a new repository."""

    def __init__(self, root: Path, new: Repository, progress: Progress) -> None:
        self._root = root
        self._new = new
        self._progress = progress
        self._manifests: dict[VersionName, Manifest] = {}
        self.result = Salvaged()

    def packs(self) -> None:
        """Whole packs first, so that nothing is taken out of a damaged one that a whole one has."""
        self._progress.step("packs")
        damaged = [path for path in files_below(self._root / PACKS) if not self._copied(path)]
        self._new.look_again()
        saved = PackBin(self._new)
        for path in damaged:
            self.result.damaged_packs += 1
            with suppress(OSError), Patient(path) as file:
                self._save_entries(file, saved)
        saved.finish()

    def _copied(self, path: Path) -> bool:
        """Copies a pack, if its bytes fit its name and it is of this domain."""
        staged = new_name(self._new.staging)
        digest = blake3()
        try:
            with path.open("rb") as file, staged.open("xb") as copy:
                for piece in read_in_pieces(file):
                    digest.update(piece)
                    copy.write(piece)
            if digest.hexdigest() != path.name or not self._is_ours(staged):
                return False
        except OSError:
            return False
        else:
            fsync_path(staged)
            give_name(staged, self._new.path(PACKS, path.name))
            self.result.packs += 1
            return True
        finally:
            staged.unlink(missing_ok=True)

    def _is_ours(self, path: Path) -> bool:
        with suppress(SoulpadError), path.open("rb") as file:
            pack.read_entries(file, path.stat().st_size)
            return pack.domain_of(file) == self._new.domain.public_id
        return False

    def _save_entries(self, file: Patient, saved: PackBin) -> None:
        """Takes the chunks that can be opened: whole, and of this domain."""
        for entry, body in pack.salvage_entries(file):
            if self._new.has(entry.chunk_id) or saved.has(entry.chunk_id):
                continue
            with suppress(CorruptChunk):
                pack.open_chunk(self._new.domain, entry, body)
                saved.add(entry.chunk_id, entry.content_bytes, Sealed(entry.encoding, body))
                self.result.saved_chunks += 1

    def manifests(self) -> None:
        """All that can be opened, under the names that they should have."""
        for path in files_below(self._root / MANIFESTS):
            try:
                content = path.read_bytes()
                decoded = decode_manifest(self._new.domain, content)
            except (DamagedManifest, ForeignDomain, UnknownFormat, OSError):
                self.result.lost_manifests += 1
                continue
            name = version_name(content)
            self._manifests[name] = decoded
            place(content, self._new.path(MANIFESTS, name), self._new.staging)

    def versions(self, partial: bool) -> None:
        """Gives numbers to all versions that are whole, and to others if that is asked for."""
        self._progress.step("versions")
        available = self._new.places().keys()
        for (parcel, number), name in sorted(self._found().items()):
            try:
                version = resolved(name, self._load)
            except SoulpadError as error:
                self.result.lost.append(Incomplete(parcel, number, in_words(error), {}))
                continue
            if lost := lacking(version, available):
                told = Incomplete(parcel, number, "chunks are missing or damaged", lost)
                (self.result.partial if partial else self.result.lost).append(told)
                if not partial:
                    continue
                name = self._put(without_lost(version, available))
            self._number(parcel, number, name)
            self.result.versions += 1
        self._close_gaps()

    def keys(self) -> None:
        """The key slots, as they are."""
        for path in files_below(self._root / KEYS, depth=1):
            with suppress(OSError):
                place(path.read_bytes(), self._new.root / KEYS / path.name, self._new.staging)

    def _is_at(self, name: VersionName, place_of: tuple[str, int]) -> bool:
        """Whether a number that names this manifest may be right: it is, or the manifest is lost."""
        found = self._manifests.get(name)
        return found is None or (found.parcel, found.sequence) == place_of

    def _load(self, name: VersionName) -> Manifest:
        if name not in self._manifests:
            raise DamagedManifest(f"the manifest {name[:12]} that it needs is lost")
        return self._manifests[name]

    def _put(self, made: Manifest) -> VersionName:
        encoded = encode_manifest(self._new.domain, made)
        name = version_name(encoded)
        place(encoded, self._new.path(MANIFESTS, name), self._new.staging)
        return name

    def _number(self, parcel: str, number: int, text: str) -> None:
        folder = self._new.root / VERSIONS / parcel
        place(f"{text}\n".encode(), folder / digits(number), self._new.staging)

    def _close_gaps(self) -> None:
        """Numbers below the highest are there, as everybody expects: what was lost is forgotten."""
        for parcel in self._new.parcels():
            taken = self._new.numbers(parcel)
            for number in set(range(max(taken))) - set(taken):
                self._number(parcel, number, FORGOTTEN)

    def _found(self) -> dict[tuple[str, int], VersionName]:
        """The versions by their numbers; forgotten ones are left out, and stay forgotten."""
        numbers: dict[tuple[str, int], VersionName] = {}
        for folder in folders_below(self._root / VERSIONS):
            for number in numbered(folder):
                with suppress(DamagedManifest):
                    numbers[folder.name, number] = read_name(folder / digits(number))
        found: dict[tuple[str, int], VersionName] = {}
        followed = {known.previous for known in self._manifests.values()}
        # of two manifests with one number, the one that a later version follows is the version
        for name in sorted(self._manifests, key=lambda name: (name in followed, name)):
            found[self._manifests[name].parcel, self._manifests[name].sequence] = name
        self.result.found_by_manifest = len(found.keys() - numbers.keys())
        for place_of, name in numbers.items():
            if name == FORGOTTEN:
                found.pop(place_of, None)
            elif self._is_at(name, place_of):
                found[place_of] = name
        return found


def files_below(folder: Path, depth: int = 2) -> Iterator[Path]:
    """The files in a folder, or in its folders; none where it is not there."""
    return (path for path in sorted(folder.glob("/".join("*" * depth))) if path.is_file())


def folders_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.is_dir())
