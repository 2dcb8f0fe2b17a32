"""Marking: which chunks and which manifests the versions of a repository need.

A manifest whose number nobody has counts as a version: either its upload was broken off right before the commit, or a
file of a number got lost, and then it is all that is left of the version. Once the number is taken, also by the word
that the version is forgotten, it counts no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from lookaside.domain import ChunkId
from lookaside.errors import DamagedManifest
from lookaside.manifest import VersionName
from lookaside.repository import VERSIONS, Repository
from lookaside.versions import Version, chunks_used, require_before, resolved_on
from soulpad.base.errors import UnknownFormat


@dataclass(frozen=True)
class Head:
    """What says where a manifest belongs; the rest is too large to be kept of all."""

    parcel: str
    sequence: int
    base: VersionName | None


class Living:
    """What versions need. It only grows: what a version deleted meanwhile needed stays until the next collection.

    ``unreadable``: manifests that no version names and that nobody can read.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._heads: dict[VersionName, Head] = {}
        self._seen: set[VersionName] = set()
        self.chunks: set[ChunkId] = set()
        self.manifests: set[VersionName] = set()
        self.unreadable: set[VersionName] = set()

    def look(self) -> None:
        """Takes up all versions that are committed now. Raises DamagedManifest and what else says that one cannot be
        read: then nobody can say what is needed, and nothing may be deleted."""
        for parcel in self._repository.parcels():
            os.utime(self._repository.root / VERSIONS / parcel)  # NFS: what others put there is seen (see marks)
            self._take_up(set(self._repository.versions(parcel).values()))
        for name in set(self._repository.manifests()) - self.manifests:
            try:
                if self._lacks_its_number(name):
                    self._take_up({name})
            except (DamagedManifest, UnknownFormat):
                self.unreadable.add(name)

    def _take_up(self, names: set[VersionName]) -> None:
        new = names - self._seen
        chains = {name: self._chain(name) for name in new}
        for version in self._resolved(chains):
            if version.name in new:
                self.chunks.update(chunks_used(version))
        self.manifests.update(*chains.values())
        self._seen |= new

    def _chain(self, name: VersionName) -> list[VersionName]:
        chain = [name]
        while base := self._head(chain[-1]).base:
            require_before(self._head(base), self._head(chain[-1]))
            chain.append(base)
        return chain

    def _resolved(self, chains: dict[VersionName, list[VersionName]]) -> Iterator[Version]:
        """All that is in the chains, each difference laid over its base once; kept only while others build on them."""
        needed = {name for chain in chains.values() for name in chain}
        uses = [self._head(name).base for name in needed]
        whole: dict[VersionName, Version] = {}
        for name in sorted(needed, key=lambda name: self._head(name).sequence):
            base = self._head(name).base
            below = whole.get(base) if base else None
            version = whole[name] = resolved_on(below, name, self._repository.manifest(name))
            uses.remove(base)
            for done in (base, name):
                if done and done not in uses:
                    del whole[done]
            yield version

    def _lacks_its_number(self, name: VersionName) -> bool:
        head = self._head(name)
        return head.sequence not in self._repository.numbers(head.parcel)

    def _head(self, name: VersionName) -> Head:
        if name not in self._heads:
            manifest = self._repository.manifest(name)
            self._heads[name] = Head(manifest.parcel, manifest.sequence, manifest.base)
        return self._heads[name]
