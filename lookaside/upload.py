"""A version on its way into a repository: chunks first, in packs, then the manifest, then its number.

Broken off anywhere, no version knows of anything that is not there; finished packs stay, for the next upload to find.
An upload has a pin from its first look at the repository until after its commit, and relies on nothing that was doomed
when it looked (collecting.py says why).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lookaside import pack
from lookaside.domain import ChunkId
from lookaside.errors import BaseGone, ChunkMissing, VersionTaken
from lookaside.manifest import Manifest, VersionName, encode_manifest, version_name
from lookaside.marks import Pin, pinned
from lookaside.packing import PackBin
from lookaside.placing import place
from lookaside.repository import MANIFESTS, VERSIONS, Repository, digits
from lookaside.sealing import Sealed
from lookaside.sealingahead import SealingAhead
from lookaside.versions import as_keyframe, chunks_used, names_in_chain, resolved


class Upload:
    """A ``ChunkStore``: a chunk that was put is there for this upload at once, for others when its pack is finished.

    ``stored_bytes``: of packs and manifests so far; ``new_chunks``: how many were put.
    """

    def __init__(self, repository: Repository, pin: Pin) -> None:
        self._repository = repository
        self._pin = pin
        self._bin = PackBin(repository)
        self._sealing = SealingAhead(repository.domain)
        self._manifest_bytes = 0
        self.new_chunks = 0
        repository.look_again()  # after the pin was made: what is doomed from now on awaits it

    @property
    def stored_bytes(self) -> int:
        return self._bin.stored_bytes + self._manifest_bytes

    def has(self, chunk_id: ChunkId) -> bool:
        return self._bin.has(chunk_id) or chunk_id in self._sealing or self._repository.has(chunk_id)

    def keep(self, chunk_id: ChunkId, content: bytes) -> None:
        """Raises OSError."""
        if not self.has(chunk_id):
            self.put(chunk_id, content)

    def put(self, chunk_id: ChunkId, content: bytes) -> None:
        """Stores a chunk that is not there. Raises OSError."""
        self.new_chunks += 1
        for ready in self._sealing.put(chunk_id, content):
            self._bin.add(*ready)

    def finish_pack(self) -> None:
        """What was put so far is durable and can be found."""
        for ready in self._sealing.rest():
            self._bin.add(*ready)
        self._bin.finish()

    def commit(self, manifest: Manifest) -> VersionName:
        """Makes the version the parcel's newest, all its chunks being put.

        Raises VersionTaken, BaseGone, PinBroken, OSError, and what reading its base raises.
        """
        manifest = self._relying_on_nothing_doomed(manifest)
        self.finish_pack()
        encoded = encode_manifest(self._repository.domain, manifest)
        name = version_name(encoded)
        place(encoded, self._repository.path(MANIFESTS, name), self._repository.staging)
        self._manifest_bytes += len(encoded)
        line = self._repository.root / VERSIONS / manifest.parcel / digits(manifest.sequence)
        self._pin.require()
        try:
            place(f"{name}\n".encode(), line, self._repository.staging, replace=False)  # commit point
        except FileExistsError:
            raise VersionTaken(
                f"{self._repository.root} has a version {manifest.sequence} of the parcel already, another one.",
                "the parcel was backed up from elsewhere meanwhile: look at its versions first",
            ) from None
        return name

    def _relying_on_nothing_doomed(self, manifest: Manifest) -> Manifest:
        """The manifest, all its chunks being there to stay; a keyframe in its place where one below it is doomed.

        What it inherits and did not ask for may lie in doomed packs alone: that is stored again, as it is.
        """
        self._keep(manifest.chunks)
        if manifest.base is None:
            return manifest
        if manifest.base not in self._repository.versions(manifest.parcel).values():
            raise base_gone()
        doomed = self._repository.doomed
        if not doomed.anything:  # all that a version needs is there, and was when this upload looked
            return manifest
        own = VersionName("")
        version = resolved(own, lambda name: manifest if name == own else self._repository.manifest(name))
        self._keep(chunks_used(version))
        chain = names_in_chain(manifest.base, self._repository.manifest)
        return as_keyframe(version) if doomed.manifests.intersection(chain) else manifest

    def _keep(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Stores again what is not there to stay. Raises BaseGone, CorruptChunk."""
        for chunk_id in chunk_ids:
            if not self.has(chunk_id):
                try:
                    entry, body = self._repository.sealed(chunk_id)
                except ChunkMissing:
                    raise base_gone() from None
                self._bin.add(chunk_id, entry.content_bytes, Sealed(entry.encoding, pack.require_body(entry, body)))

    def drop(self) -> None:
        """Gives up the pack that is not finished."""
        self._sealing.end()
        self._bin.drop()


def base_gone() -> BaseGone:
    return BaseGone(
        "What this version builds on was deleted from the repository meanwhile.",
        "run it again: what it stored already is found",
    )


@contextmanager
def uploading(repository: Repository) -> Iterator[Upload]:
    """An upload; what it did not finish is removed when the block ends. Raises OSError, DamagedMarks."""
    with pinned(repository.root) as pin:
        upload = Upload(repository, pin)
        try:
            yield upload
        finally:
            upload.drop()
