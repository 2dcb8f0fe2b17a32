"""A version on its way into a repository: chunks first, in packs, then the manifest, then its number.

Broken off anywhere, no version knows of anything that is not there; finished packs stay, for the next upload to find.
An upload has a pin from its first look at the repository until after its commit, and relies on nothing that was doomed
when it looked (collecting.py says why).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lookaside import pack
from lookaside.domain import ChunkId
from lookaside.errors import BaseGone, VersionTaken
from lookaside.manifest import Manifest, VersionName, encode_manifest, version_name
from lookaside.marks import Pin, pinned
from lookaside.pack import seal_chunk
from lookaside.packing import PackBin
from lookaside.placing import place
from lookaside.repository import MANIFESTS, VERSIONS, Repository, digits
from lookaside.sealing import Sealed
from lookaside.versions import as_keyframe, chunks_used, names_in_chain, resolved


class Upload:
    """A ``ChunkStore``: a chunk that was put is there for this upload at once, for others when its pack is finished.

    ``stored_bytes``: of packs and manifests so far; ``new_chunks``: how many were put.
    """

    def __init__(self, repository: Repository, pin: Pin) -> None:
        self._repository = repository
        self._pin = pin
        self._bin = PackBin(repository)
        self._manifest_bytes = 0
        self.new_chunks = 0
        repository.look_again()  # after the pin was made: what is doomed from now on awaits it

    @property
    def stored_bytes(self) -> int:
        return self._bin.stored_bytes + self._manifest_bytes

    def has(self, chunk_id: ChunkId) -> bool:
        return self._bin.has(chunk_id) or self._repository.has(chunk_id)

    def put(self, chunk_id: ChunkId, content: bytes) -> None:
        """Raises OSError."""
        self._bin.add(chunk_id, len(content), seal_chunk(self._repository.domain, chunk_id, content))
        self.new_chunks += 1

    def finish_pack(self) -> None:
        """What was put so far is durable and can be found."""
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
        """The manifest; a keyframe in its place where a manifest below it is doomed. What is inherited and lies in
        doomed packs alone is stored again, as it is. Raises BaseGone."""
        if manifest.base is None:
            return manifest
        if manifest.base not in self._repository.versions(manifest.parcel).values():
            raise BaseGone(
                "The version that this one is a difference against was deleted meanwhile.",
                "run it again: what it stored already is found",
            )
        doomed = self._repository.doomed
        if not doomed.anything:
            return manifest
        own = VersionName("")
        version = resolved(own, lambda name: manifest if name == own else self._repository.manifest(name))
        for chunk_id in chunks_used(version):
            if not self.has(chunk_id):
                entry, body = self._repository.sealed(chunk_id)
                self._bin.add(chunk_id, entry.content_bytes, Sealed(entry.encoding, pack.require_body(entry, body)))
        chain = names_in_chain(manifest.base, self._repository.manifest)
        return as_keyframe(version) if doomed.manifests.intersection(chain) else manifest

    def drop(self) -> None:
        """Gives up the pack that is not finished."""
        self._bin.drop()


@contextmanager
def uploading(repository: Repository) -> Iterator[Upload]:
    """An upload; what it did not finish is removed when the block ends. Raises OSError, DamagedMarks."""
    with pinned(repository.root) as pin:
        upload = Upload(repository, pin)
        try:
            yield upload
        finally:
            upload.drop()
