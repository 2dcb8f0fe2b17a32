"""The public bases on a medium: its public key, and the versions that its folders list."""

from __future__ import annotations

from lookaside.domain import Domain
from lookaside.errors import SourceUnusable
from lookaside.manifest import VersionName
from lookaside.manifestplaces import HasManifests, proved_manifest
from lookaside.media.shelf import Shelf
from lookaside.media.trees import Tree
from lookaside.publicbase import PublicBase, base_of
from lookaside.publickey import PUBLIC_KEY_FILE, decode_public_key
from lookaside.repository import VERSIONS, is_digest
from lookaside.source import unreadable
from lookaside.versions import resolved

LARGEST_KEY_FILE_BYTES = 4096


def public_domain(tree: Tree) -> Domain:
    """The domain whose key the medium has. Raises SourceUnusable, UnknownFormat."""
    try:
        return decode_public_key(tree.read(PUBLIC_KEY_FILE, 0, LARGEST_KEY_FILE_BYTES))
    except FileNotFoundError:
        raise SourceUnusable(f"{tree.name} has no public key.", "make one: soulpad lookaside iso") from None
    except OSError as error:
        raise unreadable(tree.name, error) from None


def bases_on(shelf: Shelf) -> list[PublicBase]:
    """The newest version of each base image on the medium. Raises SourceUnusable, DamagedManifest, UnknownFormat."""
    domain = public_domain(shelf.tree)
    try:
        names = [newest(shelf.tree, parcel) for parcel in shelf.tree.names(VERSIONS)]
    except OSError as error:
        raise unreadable(shelf.name, error) from None
    return [base_named(shelf, domain, name) for name in names if name]


def newest(tree: Tree, parcel: str) -> VersionName | None:
    """The name of a base image's newest version. Raises OSError."""
    numbers = tree.names(f"{VERSIONS}/{parcel}")
    if not numbers:
        return None
    text = tree.read(f"{VERSIONS}/{parcel}/{numbers[-1]}", 0, 128).decode(errors="replace").strip()
    return VersionName(text) if is_digest(text) else None


def base_named(place: HasManifests, domain: Domain, name: VersionName) -> PublicBase:
    """That version as a base. Raises SourceUnusable, DamagedManifest, ForeignDomain, UnknownFormat."""
    return base_of(domain, resolved(name, lambda wanted: proved_manifest(domain, wanted, place.manifest(wanted))))
