"""Manifests from whatever is at hand. A version's name is its manifest's digest, so nobody need be believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lookaside.domain import Domain
from lookaside.errors import DamagedManifest, SourceUnusable
from lookaside.manifest import Manifest, VersionName, decode_manifest, version_name
from soulpad.base.errors import SoulpadError


class HasManifests(Protocol):
    """A medium, a jukebox or a folder."""

    def manifest(self, name: VersionName) -> bytes:
        """What it has as that manifest. Raises SourceUnusable."""


def proved_manifest(domain: Domain, name: VersionName, encoded: bytes) -> Manifest:
    """The manifest of that name, if the bytes are it. Raises DamagedManifest, ForeignDomain, UnknownFormat."""
    if version_name(encoded) != name:
        raise DamagedManifest(f"The manifest of version {name[:12]} was altered.", "use another copy of it")
    return decode_manifest(domain, encoded)


def first_whole(domain: Domain, name: VersionName, places: Iterable[HasManifests]) -> Manifest:
    """The manifest from the first place that has it whole. Raises what ails the last one that was asked."""
    trouble: SoulpadError = SourceUnusable("There is nothing at hand that has versions.", "name a repository")
    for place in places:
        try:
            return proved_manifest(domain, name, place.manifest(name))
        except SoulpadError as error:
            trouble = error
    raise trouble
