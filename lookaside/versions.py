"""Versions as they are meant: manifests that are differences put together, and a new version's difference made.

Every so many versions a manifest is a keyframe, so that no chain of differences is long: KEYFRAME_EVERY bounds how many
manifests a check-out needs, and how many versions a damaged one takes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lookaside.domain import ChunkId
from lookaside.errors import DamagedManifest
from lookaside.extentmap import ZEROS, Extent, overlaid, units_of
from lookaside.manifest import ImageMap, Manifest, VersionName

KEYFRAME_EVERY = 32


@dataclass(frozen=True)
class WholeImage:
    """An image in full: its size, and the extents that are not zeros, which number chunks in the version's list."""

    image_bytes: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True)
class Version:
    """A version in full. ``chunks``, ``chunk_units``: the ids and sizes that the images' extents number."""

    name: VersionName
    manifest: Manifest
    images: dict[str, WholeImage]
    chunks: tuple[ChunkId, ...]
    chunk_units: tuple[int, ...]


class ChunkList:
    """Chunk ids, each once, in the order in which they came."""

    def __init__(self) -> None:
        self.ids: list[ChunkId] = []
        self.units: list[int] = []
        self._numbers: dict[ChunkId, int] = {}

    def number(self, chunk_id: ChunkId, units: int) -> int:
        """The number of a chunk of so many units, new or not."""
        number = self._numbers.setdefault(chunk_id, len(self.ids))
        if number == len(self.ids):
            self.ids.append(chunk_id)
            self.units.append(units)
        return number

    def taken_over(self, extents: Iterable[Extent], ids: Sequence[ChunkId], units: Sequence[int]) -> list[Extent]:
        """Extents that number chunks of another list, numbered by this one."""
        return [
            extent
            if extent.chunk == ZEROS
            else extent._replace(chunk=self.number(ids[extent.chunk], units[extent.chunk]))
            for extent in extents
        ]


def resolved(name: VersionName, load: Callable[[VersionName], Manifest]) -> Version:
    """The version of that name, from its manifest and those that it is a difference against.

    Raises what ``load`` raises, and DamagedManifest when the chain makes no sense.
    """
    chain = chain_of(name, load)
    images: dict[str, WholeImage] = {}
    chunks = ChunkList()
    for manifest in reversed(chain):
        images = {image.name: laid_over(images.get(image.name), image, manifest, chunks) for image in manifest.images}
    return Version(name, chain[0], images, tuple(chunks.ids), tuple(chunks.units))


def resolved_on(base: Version | None, name: VersionName, manifest: Manifest) -> Version:
    """The version of that manifest, whose base is given in full. Raises DamagedManifest."""
    chunks = ChunkList()
    below: dict[str, WholeImage] = {}
    if base is not None:
        require_before(base.manifest, manifest)
        below = {
            image_name: WholeImage(
                image.image_bytes, tuple(chunks.taken_over(image.extents, base.chunks, base.chunk_units))
            )
            for image_name, image in base.images.items()
        }
    images = {image.name: laid_over(below.get(image.name), image, manifest, chunks) for image in manifest.images}
    return Version(name, manifest, images, tuple(chunks.ids), tuple(chunks.units))


def chunks_used(version: Version) -> Iterator[ChunkId]:
    """Each chunk that the version's images need, once."""
    numbers = {extent.chunk for image in version.images.values() for extent in image.extents}
    return (version.chunks[number] for number in sorted(numbers - {ZEROS}))


def names_in_chain(name: VersionName, load: Callable[[VersionName], Manifest]) -> Iterator[VersionName]:
    """The version's name, its base's and so on down to a keyframe's."""
    yield name
    yield from (base for manifest in chain_of(name, load) if (base := manifest.base) is not None)


def chain_of(name: VersionName, load: Callable[[VersionName], Manifest]) -> list[Manifest]:
    """The version's manifest, its base's and so on down to a keyframe."""
    chain = [load(name)]
    while (base := chain[-1].base) is not None:
        manifest = load(base)
        require_before(manifest, chain[-1])
        chain.append(manifest)
    return chain


class Placed(Protocol):
    """What says where a manifest stands in its parcel's line."""

    @property
    def parcel(self) -> str: ...

    @property
    def sequence(self) -> int: ...


def require_before(base: Placed, manifest: Placed) -> None:
    """Whether one can be the other's base. Raises DamagedManifest."""
    if base.parcel != manifest.parcel or base.sequence >= manifest.sequence:
        raise DamagedManifest(
            "A version is a difference against one that is not before it.", "use another copy of the repository"
        )


def laid_over(base: WholeImage | None, image: ImageMap, manifest: Manifest, chunks: ChunkList) -> WholeImage:
    """The image in full, its extents numbered by ``chunks``."""
    own = chunks.taken_over(image.extents, manifest.chunks, manifest.chunk_units)
    below = () if image.whole or base is None else base.extents
    return WholeImage(image.image_bytes, tuple(overlaid(below, own, units_of(image.image_bytes))))


def needs_keyframe(depth: int) -> bool:
    """Whether a version on top of a chain of so many differences is to be a keyframe."""
    return depth >= KEYFRAME_EVERY


def as_keyframe(version: Version) -> Manifest:
    """The version's manifest as one that needs no other, with the chunks that it uses and no more."""
    chunks = ChunkList()
    images = tuple(
        ImageMap(
            name,
            image.image_bytes,
            True,
            tuple(chunks.taken_over(image.extents, version.chunks, version.chunk_units)),
        )
        for name, image in version.images.items()
    )
    old = version.manifest
    return Manifest(
        old.parcel, old.sequence, old.previous, None, images, tuple(chunks.ids), tuple(chunks.units), old.documents
    )
