"""A repository in a plain folder: packs, manifests, and the line of versions of each parcel.

    soulpad-repository.json      "format": "soulpad-repository/1", "domain": the domain's id in hex
    keys/NAME.json               key slots (see keyslots)
    packs/ab/NAME                packs (see pack); NAME is the digest of the bytes and begins with ab
    manifests/ab/NAME            manifests, likewise
    versions/PARCEL/NUMBER       a version's name and a newline; NUMBER is its sequence, ten digits
    marks/                       who is at work, and what is about to be deleted (see marks)
    .staged/                     what is being written; nothing in it counts

The newest version of a parcel is the one with the highest number. Write order: packs, then the manifest, then the
number, each durable before the next. A number is made only if it is not there (a rename that does not replace), so of
two writers who make the same version one is told, and nobody needs a lock or a clock. A number is never used again: of
a version that was deleted it holds the word "forgotten". What may be deleted, and when, is told in collecting.py.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookaside import pack
from lookaside.domain import ChunkId, Domain, DomainId
from lookaside.errors import (
    ChunkMissing,
    DamagedManifest,
    DamagedPack,
    ForeignDomain,
    NoRepository,
    RepositoryFailed,
)
from lookaside.manifest import Manifest, VersionName, decode_manifest, version_name
from lookaside.marks import MARKS, Doomed, Pin, doomed_now
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.pack import Entry, PackName
from lookaside.placing import place
from lookaside.sealed import SealedChunk
from soulpad.base.errors import BadInput, NoSpace, SoulpadError, UnknownFormat

DESCRIPTION = "soulpad-repository.json"
FORMAT = "soulpad-repository/1"
PACKS, MANIFESTS, VERSIONS, STAGED = "packs", "manifests", "versions", ".staged"
KEYS = "keys"  # see keyring
NUMBER_DIGITS = 10
FORGOTTEN = "forgotten"


class Repository:
    """An opened repository. A ``ChunkSource`` too."""

    def __init__(self, root: Path, domain: Domain) -> None:
        self.root = root
        self.domain = domain
        self._shelf = Shelf(FolderTree(root))  # its index is asked where to read, never what need not be stored
        self.doomed = Doomed()
        self._places: dict[ChunkId, tuple[PackName, Entry]] | None = None

    @classmethod
    def create(cls, root: Path, domain: Domain) -> Repository:
        """A new one in ``root``, which may be there if it is unused. Raises NoRepository, OSError."""
        require_unused(root)
        root.mkdir(parents=True, exist_ok=True)
        for name in (PACKS, MANIFESTS, VERSIONS, MARKS, STAGED):
            (root / name).mkdir(exist_ok=True)
        content = json.dumps({"format": FORMAT, "domain": domain.public_id.hex()}, indent=1) + "\n"
        try:  # commit point: from now on it is a repository
            place(content.encode(), root / DESCRIPTION, root / STAGED, replace=False)
        except FileExistsError:
            raise NoRepository(f"{root} was made a repository meanwhile.", "run it again") from None
        return cls(root, domain)

    @classmethod
    def open(cls, root: Path, domain: Domain) -> Repository:
        """The one in ``root``. Raises NoRepository, UnknownFormat, ForeignDomain."""
        if domain_id_of(root) != domain.public_id:
            raise ForeignDomain(f"The repository {root} belongs to another key.", "give the key that it was made with")
        return cls(root, domain)

    @property
    def name(self) -> str:
        return str(self.root)

    # --- versions

    def parcels(self) -> list[str]:
        """The UUIDs of the parcels that have versions here, sorted."""
        folders = (self.root / VERSIONS).iterdir()
        return sorted(folder.name for folder in folders if next(numbered(folder), None) is not None)

    def numbers(self, parcel: str) -> list[int]:
        """All numbers that the parcel's versions have or had, in order."""
        return sorted(numbered(self.root / VERSIONS / parcel))

    def versions(self, parcel: str) -> dict[int, VersionName]:
        """The parcel's versions by their numbers, in order. Raises DamagedManifest."""
        found = {number: self.version(parcel, number) for number in self.numbers(parcel)}
        return {number: name for number, name in found.items() if name is not None}

    def version(self, parcel: str, number: int) -> VersionName | None:
        """The version that has this number; None: it was forgotten. Raises DamagedManifest."""
        name = read_name(self.root / VERSIONS / parcel / digits(number))
        return None if name == FORGOTTEN else name

    def newest(self, parcel: str) -> VersionName | None:
        """The parcel's newest version; None: it has none here."""
        names = (self.version(parcel, number) for number in reversed(self.numbers(parcel)))
        return next((name for name in names if name is not None), None)

    def manifest(self, name: VersionName) -> Manifest:
        """A version's manifest, proved by its name. Raises DamagedManifest, ForeignDomain, UnknownFormat."""
        try:
            encoded = self.path(MANIFESTS, name).read_bytes()
        except FileNotFoundError:
            raise DamagedManifest(
                f"The manifest of version {name[:12]} is not in {self.root}.", "use another copy of the repository"
            ) from None
        if version_name(encoded) != name:
            raise DamagedManifest(
                f"The manifest of version {name[:12]} in {self.root} was altered.", "use another copy of the repository"
            )
        return decode_manifest(self.domain, encoded)

    def forget(self, parcel: str, number: int, pin: Pin) -> None:
        """Deletes a version that is not the newest, if nobody else has; what it alone needs goes when garbage is
        collected. Its manifest stays as long as others are differences against it. Raises BadInput, PinBroken,
        OSError."""
        known = self.versions(parcel)
        if number not in known:
            return
        if number == max(known):
            raise BadInput(f"Version {number} is the parcel's newest, so it stays.", "forget older ones")
        pin.require()
        line = self.root / VERSIONS / parcel / digits(number)
        place(f"{FORGOTTEN}\n".encode(), line, self.staging)  # commit point

    # --- chunks

    def get(self, chunk_id: ChunkId) -> bytes:
        """A chunk's content. Raises ChunkMissing, CorruptChunk."""
        indexed = self._shelf.by_index(chunk_id)
        if isinstance(indexed, SealedChunk):
            return pack.open_chunk(self.domain, indexed.entry, indexed.body)
        entry, body = self.sealed(chunk_id)
        return pack.open_chunk(self.domain, entry, pack.require_body(entry, body))

    def sealed(self, chunk_id: ChunkId) -> tuple[Entry, bytes]:
        """A chunk as it lies there, its body not yet compared with anything. Raises ChunkMissing, RepositoryFailed."""
        try:
            while found := self.places().get(chunk_id):
                name, entry = found
                with suppress(FileNotFoundError), self.path(PACKS, name).open("rb") as file:
                    return entry, pack.read_at(file, entry.body_offset, entry.body_bytes)
                self._places = None  # the pack was rewritten since it was listed, or taken away
        except OSError as error:
            raise failed(self.root, error) from None
        raise ChunkMissing(f"chunk {chunk_id.hex()[:12]} is not in {self.root}")

    def has(self, chunk_id: ChunkId) -> bool:
        """Whether it is there and, for a writer who has a pin, will stay."""
        found = self.places().get(chunk_id)
        return found is not None and found[0] not in self.doomed.packs

    def look_again(self) -> None:
        """For a writer, after its pin was made: notes what is doomed, and then what is there. Raises DamagedMarks."""
        self.doomed = doomed_now(self.root)
        self._places = None

    def places(self) -> dict[ChunkId, tuple[PackName, Entry]]:
        """Where each chunk is, by the packs' own tables. Packs that cannot be read are left out."""
        if self._places is None:
            self._places = {}
            for name in self.packs():
                with suppress(DamagedPack, UnknownFormat, OSError):
                    self.take_up(name, self.entries(name))
        return self._places

    def take_up(self, name: PackName, entries: list[Entry]) -> None:
        """From now on the pack's chunks are found; in a pack that is not doomed rather than in one that is."""
        if self._places is None:  # it will be found with all others
            return
        for entry in entries:
            known = self._places.get(entry.chunk_id)
            if known is None or known[0] in self.doomed.packs:
                self._places[entry.chunk_id] = name, entry

    def entries(self, name: PackName) -> list[Entry]:
        """The chunks that a pack lists. Raises DamagedPack, UnknownFormat, OSError."""
        path = self.path(PACKS, name)
        with path.open("rb") as file:
            return pack.read_entries(file, path.stat().st_size)

    def packs(self) -> Iterator[PackName]:
        """The names of all packs."""
        return map(PackName, names_in(self.root / PACKS))

    def manifests(self) -> Iterator[VersionName]:
        """The names of all manifests, also of those that no version needs."""
        return map(VersionName, names_in(self.root / MANIFESTS))

    def path(self, kind: str, name: str) -> Path:
        """Where a pack or a manifest lies."""
        return path_of(self.root, kind, name)

    @property
    def staging(self) -> Path:
        """Where files are written before they have their names."""
        return self.root / STAGED


@contextmanager
def repository_trouble(root: Path) -> Iterator[None]:
    """Raises NoSpace or RepositoryFailed where the repository's folder raises OSError."""
    try:
        yield
    except OSError as error:
        raise failed(root, error) from None


def failed(root: Path, error: OSError) -> SoulpadError:
    """The error for people when the repository's folder does not do as it should."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"There is no room left in {root}.", "free some; what was stored already is found again")
    what = error.strerror or type(error).__name__
    return RepositoryFailed(f"{root} cannot be used: {what}.", "look whether the medium is there and may be written")


def require_unused(root: Path) -> None:
    """Raises NoRepository if the folder holds anything that an interrupted ``create`` would not have left."""
    if root.exists() and not root.is_dir():
        raise NoRepository(f"{root} is no folder.", "name a new or an empty folder")
    if (root / DESCRIPTION).exists():
        raise NoRepository(f"{root} is a repository already.", "back up to it, or name an empty folder")
    found = list(root.iterdir()) if root.exists() else []
    filled = any(path.name not in (KEYS, STAGED) and any(path.iterdir()) for path in found if path.is_dir())
    if filled or {path.name for path in found} - {KEYS, PACKS, MANIFESTS, VERSIONS, MARKS, STAGED}:
        raise NoRepository(f"{root} is not empty, so no repository is made in it.", "name a new or an empty folder")


def domain_id_of(root: Path) -> DomainId:
    """The domain that the repository in ``root`` says it belongs to. Raises NoRepository, UnknownFormat."""
    try:
        fields = json.loads((root / DESCRIPTION).read_bytes())
        found, domain_id = str(fields["format"]), bytes.fromhex(fields["domain"])
    except FileNotFoundError:
        raise NoRepository(f"{root} is no repository: it has no {DESCRIPTION}.", "look at its name") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise NoRepository(
            f"{root} is no repository that can be read: {DESCRIPTION}: {error}.", "soulpad recover saves what is whole"
        ) from None
    if found != FORMAT:
        raise UnknownFormat(f"{root} is of format {found!r}, this program reads {FORMAT!r}.", "use a newer soulpad")
    return DomainId(domain_id)


def numbered(folder: Path) -> Iterator[int]:
    """The numbers of the versions in a parcel's folder."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if len(path.name) == NUMBER_DIGITS and path.name.isdecimal():
                yield int(path.name)


def path_of(root: Path, kind: str, name: str) -> Path:
    """Where a pack or a manifest of the repository in ``root`` lies."""
    return root / kind / name[:2] / name


def names_in(folder: Path) -> Iterator[str]:
    """The names of all packs, or all manifests, that are there."""
    for part in folder.iterdir():
        if part.is_dir():
            yield from (path.name for path in part.iterdir() if is_digest(path.name))


def digits(number: int) -> str:
    """A version's number as its file is called."""
    return f"{number:0{NUMBER_DIGITS}d}"


def read_name(path: Path) -> VersionName:
    """The version that a file names, or FORGOTTEN. Raises DamagedManifest."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not is_digest(text) and text != FORGOTTEN:
        raise DamagedManifest(
            f"{path} does not name a version.", "soulpad recover finds the versions by their manifests"
        )
    return VersionName(text)


def is_digest(text: str) -> bool:
    """Whether this is a name made of a digest."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")
