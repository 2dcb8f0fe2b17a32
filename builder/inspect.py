"""What is on a stick or an image. Reads only; needs no root for an image, and no device-mapper for either.

Without a secret: what everybody who holds the stick can see. With one: the parcels and their checkpoints, read through
``builder.store.plainview`` and ``builder.store.xfswalk``, a few hundred kilobytes whatever the stick's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from builder.disk.esp import read_esp_file
from builder.disk.partitions import Layout, Partition, read_layout
from builder.store.luks import LuksHeader, read_header
from builder.store.plainview import plain_view
from builder.store.xfswalk import Xfs
from soulpad.base.errors import BadImage, SoulpadError, StoreDamaged, UnknownFormat
from soulpad.base.secrets import Secret
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, expected_files
from soulpad.store.layout import ParcelPaths
from soulpad.store.parcel import ParcelDescription
from soulpad.store.stick import DESCRIPTION_NAME, StickDescription

Found = TypeVar("Found")

HOST_ROLES = ("host-a", "host-b")


@dataclass(frozen=True)
class HostSlot:
    """A partition for a host. ``image_bytes``: of the squashfs in it, 0 when it is empty."""

    role: str
    image_bytes: int


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint. ``manifest`` is None where it cannot be read; ``problem`` says what is wrong, if anything is.

    ``size_bytes``: of its files as the guest sees them. ``allocated_bytes``: what they take in the store; blocks
    that checkpoints share are counted with each.
    """

    generation: int
    current: bool
    manifest: CheckpointManifest | None
    size_bytes: int
    allocated_bytes: int
    problem: str = ""


@dataclass(frozen=True)
class ParcelView:
    """A parcel. ``in_session``: the scratch of a session is there, one that runs or did not end in order."""

    uuid: str
    description: ParcelDescription | None
    checkpoints: tuple[CheckpointView, ...]
    in_session: bool
    problem: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        every = (self.problem, *(checkpoint.problem for checkpoint in self.checkpoints))
        return tuple(problem for problem in every if problem)


@dataclass(frozen=True)
class Inspection:
    """What was found. ``parcels`` is None without a secret; ``problems`` are what could not be read, and why."""

    path: Path
    layout: Layout
    hosts: tuple[HostSlot, ...]
    description: StickDescription | None
    header: LuksHeader | None
    parcels: tuple[ParcelView, ...] | None
    problems: tuple[str, ...]


def inspect(path: Path, secret: Secret | None = None) -> Inspection:
    """Looks at an image or device. Raises BadImage when it is no stick, WrongPassphrase when the secret opens nothing;
    all else that is damaged is said among the problems, beside what could be read."""
    layout = _readable_layout(path)
    problems: list[str] = []
    description = _or_problem(problems, lambda: _description(path, layout.of("esp")))
    header = _or_problem(problems, lambda: read_header(path, layout.of("parcels").offset_bytes))
    hosts = tuple(HostSlot(role, squashfs_bytes(_head(path, layout.of(role)))) for role in HOST_ROLES)
    if not hosts[0].image_bytes and not hosts[1].image_bytes:
        problems.append("neither host slot holds a host")
    parcels = None
    if secret and header:
        parcels = _or_problem(problems, lambda: _parcels(path, layout.of("parcels"), secret))
    for parcel in parcels or ():
        problems += parcel.problems
    return Inspection(path, layout, hosts, description, header, parcels, tuple(problems))


def parcels_of(store: Xfs) -> tuple[ParcelView, ...]:
    """All parcels of a store."""
    folder = PurePosixPath(ParcelPaths(Path(), "").folder)
    folders = [name for name, inode in store.children(folder).items() if inode.is_folder]
    return tuple(_parcel(store, uuid) for uuid in folders if not uuid.startswith("."))


def squashfs_bytes(head: bytes) -> int:
    """The size that a squashfs's superblock tells, 0 where there is none (kernel: squashfs_fs.h, bytes_used)."""
    return int.from_bytes(head[40:48], "little") if head.startswith(b"hsqs") else 0


def _readable_layout(path: Path) -> Layout:
    try:
        return read_layout(path)
    except OSError as error:
        hint = "reading a device takes root: sudo soulpad inspect ..." if path.is_block_device() else "check the name"
        raise BadImage(f"{path} cannot be read: {error.strerror}", hint) from None


def _or_problem(problems: list[str], read: Callable[[], Found]) -> Found | None:
    """What ``read`` gives, or None and one problem more when it is damaged."""
    try:
        return read()
    except (BadImage, StoreDamaged, UnknownFormat) as error:
        problems.append(error.message)
        return None


def _description(path: Path, esp: Partition) -> StickDescription:
    return StickDescription.decode(read_esp_file(path, esp, DESCRIPTION_NAME))


def _head(path: Path, partition: Partition) -> bytes:
    with path.open("rb") as file:
        file.seek(partition.offset_bytes)
        return file.read(96)


def _parcels(path: Path, partition: Partition, secret: Secret) -> tuple[ParcelView, ...]:
    with plain_view(path, partition, secret) as view:
        return parcels_of(Xfs(view))


def _parcel(store: Xfs, uuid: str) -> ParcelView:
    paths = ParcelPaths(Path(), uuid)
    problems: list[str] = []
    description = _or_problem(
        problems, lambda: ParcelDescription.decode(_content(store, PurePosixPath(paths.description)))
    )
    current = _or_problem(problems, lambda: _current(store, PurePosixPath(paths.current)))
    folders = store.children(PurePosixPath(paths.checkpoints))
    generations = sorted(int(name) for name in folders if name.isdecimal())
    if current is not None and current not in generations:
        problems.append(f"its current checkpoint, {current}, is missing")
    return ParcelView(
        uuid=uuid,
        description=description,
        checkpoints=tuple(_checkpoint(store, paths, number, number == current) for number in generations),
        in_session=bool(store.children(PurePosixPath(paths.live))),
        problem=f"parcel {uuid}: {'; '.join(problems)}" if problems else "",
    )


def _checkpoint(store: Xfs, paths: ParcelPaths, generation: int, current: bool) -> CheckpointView:
    folder = PurePosixPath(paths.checkpoint(generation))
    files = {name: inode for name, inode in store.children(folder).items() if inode.is_file}
    manifest, problem = None, ""
    try:
        manifest = CheckpointManifest.decode(_content(store, folder / MANIFEST_NAME))
        problem = _lacking(manifest, {name: inode.size_bytes for name, inode in files.items()})
    except SoulpadError as error:
        problem = error.message
    return CheckpointView(
        generation=generation,
        current=current,
        manifest=manifest,
        size_bytes=sum(inode.size_bytes for inode in files.values()),
        allocated_bytes=sum(inode.allocated_bytes for inode in files.values()),
        problem=f"parcel {paths.uuid}, checkpoint {generation}: {problem}" if problem else "",
    )


def _lacking(manifest: CheckpointManifest, sizes: dict[str, int]) -> str:
    """What of the files that the manifest names is missing or of another size."""
    wrong = [name for name, size_bytes in expected_files(manifest).items() if sizes.get(name) != size_bytes]
    return f"{', '.join(wrong)} missing or of another size" if wrong else ""


def _current(store: Xfs, path: PurePosixPath) -> int:
    text = _content(store, path).decode(errors="replace").strip()
    if not text.isdecimal():
        raise StoreDamaged("its current checkpoint is not a number")
    return int(text)


def _content(store: Xfs, path: PurePosixPath) -> bytes:
    content = store.read_file(path)
    if content is None:
        raise StoreDamaged(f"{path.name} is missing")
    return content
