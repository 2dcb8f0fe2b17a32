"""Public bases: versions that everybody may have, such as a fresh installation, and how a private version says which of
its chunks are theirs.

Ids are keyed, so a private version's ids say nothing to a medium of a public domain. Whoever makes the private version
has the content in hand and the public key as well, and takes note of the chunks that are the base's too. The version
carries the note as a document, sealed like all of it:

    "public-base"   "format": "soulpad-public-base/1", "domain_key": the public one in hex, "version": the base's name,
                    "runs": a list of [skipped, chunks, first]

Chunks are numbered in the order in which they appear first, image by image: ``skipped`` of the version's since the run
before, then ``chunks`` of them, which are the base's from number ``first`` on. So the note has a few KiB, and it stays
true however the version's own lists are put together anew. It is a hint: what a public medium gives for a chunk is
proved by the private id like everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lookaside.domain import KEY_BYTES, ChunkId, Domain
from lookaside.errors import CorruptChunk, DamagedManifest
from lookaside.extentmap import ZEROS
from lookaside.manifest import VersionName
from lookaside.sealed import Opened, SealedSource, only
from lookaside.source import Given
from lookaside.versions import Version
from soulpad.base.secrets import Secret

DOCUMENT = "public-base"
FORMAT = "soulpad-public-base/1"


@dataclass(frozen=True)
class PublicBase:
    """A version in a public domain. ``chunks``: its ids in the order in which they appear."""

    domain: Domain
    version: VersionName
    chunks: tuple[ChunkId, ...]


@dataclass(frozen=True)
class Note:
    """What a private version's document says. ``runs``: (skipped, chunks, first)."""

    domain: Domain
    version: VersionName
    runs: tuple[tuple[int, int, int], ...]


class NotingDomain(Domain):
    """A private domain that takes note of the base's chunks among those that it is asked to name."""

    def __init__(self, key: Secret, base: PublicBase) -> None:
        super().__init__(key)
        self.base = base
        self.noted: dict[ChunkId, ChunkId] = {}  # of this domain -> the base's
        self._of_base = frozenset(base.chunks)

    def chunk_id(self, plaintext: bytes | memoryview) -> ChunkId:
        """The private id, as ever."""
        own = super().chunk_id(plaintext)
        public = self.base.domain.chunk_id(plaintext)
        if public in self._of_base:
            self.noted[own] = public
        return own


def in_order(version: Version) -> list[ChunkId]:
    """The version's chunks, each once, in the order in which they appear."""
    numbers = (extent.chunk for image in version.images.values() for extent in image.extents if extent.chunk != ZEROS)
    return [version.chunks[number] for number in dict.fromkeys(numbers)]


def base_of(domain: Domain, version: Version) -> PublicBase:
    """A version of a public domain as a base."""
    return PublicBase(domain, version.name, tuple(in_order(version)))


def numbers_of(public: Mapping[ChunkId, ChunkId], base: PublicBase) -> dict[ChunkId, int]:
    """The base's numbers of what is known to be the base's."""
    numbers = {chunk_id: number for number, chunk_id in enumerate(base.chunks)}
    return {own: numbers[theirs] for own, theirs in public.items() if theirs in numbers}


def note_by_number(
    chunks: Sequence[ChunkId], numbers: Mapping[ChunkId, int], domain: Domain, version: VersionName
) -> str:
    """The document of a version whose chunks, in order, are these, and ``numbers`` those of them that are known to be
    the base's, as the base counts them."""
    fields = {
        "format": FORMAT,
        "domain_key": domain.key.reveal().hex(),
        "version": version,
        "runs": list(runs_of([numbers.get(chunk_id) for chunk_id in chunks])),
    }
    return json.dumps(fields, separators=(",", ":"))


def runs_of(numbers: Sequence[int | None]) -> Iterator[tuple[int, int, int]]:
    """The runs of numbers that follow each other; see above."""
    skipped, count, first = 0, 0, 0
    for number in numbers:
        if number is not None and count and number == first + count:
            count += 1
            continue
        if count:
            yield skipped, count, first
            skipped, count = 0, 0
        if number is None:
            skipped += 1
        else:
            count, first = 1, number
    if count:
        yield skipped, count, first


def parse_note(text: str) -> Note:
    """What a document says. Raises DamagedManifest, also for a format that is not known: one can do without it."""
    try:
        fields = json.loads(text)
        if fields["format"] != FORMAT or len(key := bytes.fromhex(fields["domain_key"])) != KEY_BYTES:
            raise ValueError
        runs = tuple((int(skipped), int(count), int(first)) for skipped, count, first in fields["runs"])
        if any(number < 0 for run in runs for number in run):
            raise ValueError
        return Note(Domain(Secret(key)), VersionName(str(fields["version"])), runs)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise DamagedManifest(
            "What a version says of its public base makes no sense.", "its own chunks are enough without that"
        ) from None


def public_ids(chunks: Sequence[ChunkId], note: Note, base: PublicBase) -> dict[ChunkId, ChunkId]:
    """Which of the version's chunks, in order, are which of the base's."""
    there = len(base.chunks)
    return {own: base.chunks[number] for own, number in noted_numbers(chunks, note).items() if number < there}


def noted_numbers(chunks: Sequence[ChunkId], note: Note) -> dict[ChunkId, int]:
    """Which of the version's chunks, in order, are the base's, and as the base counts them."""
    found: dict[ChunkId, int] = {}
    position = 0
    for skipped, count, first in note.runs:
        position += skipped
        run = chunks[position : position + count]
        found.update(zip(run, range(first, first + len(run)), strict=True))
        position += count
    return found


def note_in(version: Version) -> Note | None:
    """What the version says of its public base; None: it has none, or it makes no sense."""
    text = version.manifest.documents.get(DOCUMENT)
    try:
        return parse_note(text) if text else None
    except DamagedManifest:
        return None


@dataclass(frozen=True)
class FromPublicBase:
    """A private domain's ``BatchSource`` over what has sealed chunks of a public one. ``public``: the ids that stand
    for private ones."""

    sealed: SealedSource
    base_domain: Domain
    domain: Domain
    public: Mapping[ChunkId, ChunkId] = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.sealed.name} (public base)"

    def get(self, chunk_id: ChunkId) -> bytes:
        """Raises ChunkMissing, CorruptChunk, or what ails the place."""
        return only(self.get_many([chunk_id]), chunk_id, self.name)

    def get_many(self, ids: Sequence[ChunkId]) -> Iterator[Given]:
        """Those of the chunks that are the base's and there."""
        private = {self.public[chunk_id]: chunk_id for chunk_id in ids if chunk_id in self.public}
        for public_id, content in Opened(self.sealed, self.base_domain).get_many(list(private)):
            own = private[public_id]
            if isinstance(content, bytes) and self.domain.chunk_id(content) != own:
                content = CorruptChunk("A chunk of a public base is another one than noted.", "other sources are asked")
            yield own, content
