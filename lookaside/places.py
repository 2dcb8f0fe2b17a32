"""The places that people name on the command line, as sources.

a folder, or where a disc or second disk is mounted    packs as a repository has them
a disc image, or a drive                               the same, read without mounting
http://HOST[:PORT]                                     a jukebox
jukebox                                                all jukeboxes that are found on the local network now
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from lookaside.cache import Cache, Keeping
from lookaside.domain import Domain
from lookaside.errors import SourceUnusable
from lookaside.jukebox.client import Jukebox
from lookaside.jukebox.protocol import DEFAULT_PORT
from lookaside.media.bases import base_named, bases_on
from lookaside.media.shelf import PACKS, Shelf
from lookaside.media.trees import FolderTree, Tree
from lookaside.publicbase import FromPublicBase, Note, PublicBase, in_order, note_in, public_ids
from lookaside.sealed import Opened, SealedSource
from lookaside.source import ChunkSource
from lookaside.versions import Version
from soulpad.base.errors import BadInput, SoulpadError, UsageError

ANY_JUKEBOX = "jukebox"
FIRST_DESCRIPTOR_BYTES = 16 * 2048

Place = Shelf | Jukebox


def places_named(name: str) -> list[Place]:
    """What a name on the command line stands for. Raises UsageError, SourceUnusable."""
    if name == ANY_JUKEBOX:
        return list(jukeboxes_found())
    if is_elsewhere(name):
        return [jukebox_at(name)]
    return [Shelf(tree_at(Path(name)))]


def with_manifests(names: Iterable[str]) -> Iterator[Place]:
    """Those of the places named that may have manifests; what cannot be used is left out."""
    for name in names:
        with suppress(SoulpadError, OSError):
            if is_elsewhere(name) or has_packs(Path(name)):
                yield from places_named(name)


def is_elsewhere(name: str) -> bool:
    """Whether it names what is reached over a network."""
    return name == ANY_JUKEBOX or name.startswith(("http://", "https://"))


def has_packs(path: Path) -> bool:
    """Whether there is a folder of packs, or a disc. Raises OSError."""
    return (path / PACKS).is_dir() or (not path.is_dir() and is_disc(path))


def is_disc(path: Path) -> bool:
    """Whether a file or drive holds ISO 9660. Source: ECMA-119, 8.1: the first volume descriptor."""
    with path.open("rb") as file:
        file.seek(FIRST_DESCRIPTOR_BYTES)
        return file.read(6)[1:] == b"CD001"


def jukeboxes_found() -> Iterator[Jukebox]:
    """Those that announce themselves."""
    from lookaside.jukebox.finding import find  # where multicast DNS is not installed, all else works

    for found in find():
        yield Jukebox(found.addresses, found.port, f"jukebox {found.name}")


def jukebox_at(url: str) -> Jukebox:
    """The jukebox with this address. Raises UsageError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme != "http" or parts.path.strip("/"):
        raise UsageError(f"{url!r} is no jukebox's address", "write it like http://192.168.1.5:7685")
    return Jukebox([host], port, f"jukebox {url}")


def tree_at(path: Path) -> Tree:
    """A folder, or a disc that is not mounted. Raises SourceUnusable."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror}.", "see whether it is plugged in") from None
    if stat.S_ISDIR(mode):
        return FolderTree(path)
    from lookaside.media.disc import DiscTree  # where pycdlib is not installed, a mounted disc works

    return DiscTree(path)


def sources_of(
    places: Sequence[Place], domain: Domain, version: Version, cache: Cache | None = None
) -> list[ChunkSource]:
    """The places as sources of a version's chunks, in order, after the cache: each for the version's own domain, and,
    where the version has a public base that one of them knows, for that as well. What jukeboxes give is cached."""
    sealed: list[SealedSource] = [cache] if cache else []
    sealed += [Keeping(place, cache) if cache and isinstance(place, Jukebox) else place for place in places]
    note = note_in(version)
    base = base_at(places, note) if note else None
    public = public_ids(in_order(version), note, base) if note and base else {}
    sources: list[ChunkSource] = []
    for source in sealed:
        sources.append(Opened(source, domain))
        if base:
            sources.append(FromPublicBase(source, base.domain, domain, public))
    return sources


def base_at(places: Sequence[Place], note: Note) -> PublicBase | None:
    """The base that a version names, from the first place that has its manifests."""
    for place in places:
        try:
            return base_named(place, note.domain, note.version)
        except SoulpadError:
            continue
    return None


def public_base_at(name: str) -> PublicBase:
    """The base image of a disc, or of a folder that has what a disc has. Raises BadInput, SourceUnusable, and what its
    manifests raise."""
    if is_elsewhere(name):
        raise BadInput(f"{name} is no disc", "name its image, or where it is mounted")
    bases = bases_on(Shelf(tree_at(Path(name))))
    if len(bases) != 1:
        raise BadInput(f"{name} has {len(bases)} base images, and a version notes one", "make a disc of one image")
    return bases[0]
