"""The host root as a stream: diskimage-builder's tar, cleaned, with our own files laid over it.

What is left out: device nodes and addresses of the building machine, caches, and /boot, which goes to the ESP.
What is added: the mount points that the tar lacks, and the overlay.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

DROPPED = (
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "boot",
    "var/cache/apt",
    "var/lib/apt/lists",
    "etc/resolv.conf",
)
MOUNT_POINTS = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": 0o1777, "boot": 0o755}


@dataclass(frozen=True)
class Laid:
    """One file of the overlay: its path on the host, where its content comes from, its mode."""

    path: PurePosixPath
    source: Path
    mode: int


def kept(name: str) -> bool:
    """Whether a member of the root's tar goes onto the stick."""
    path = name.removeprefix("./")
    return not any(path == dropped or path.startswith(f"{dropped}/") for dropped in DROPPED)


def merge(root_tar: Path, overlay: list[Laid], sink: IO[bytes]) -> None:
    """Writes the cleaned root with the overlay to ``sink`` as one tar stream. The overlay wins over the root."""
    overlaid = {str(item.path) for item in overlay}
    with (
        tarfile.open(root_tar) as source,
        tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as target,
    ):
        folders = set()
        for member in source:
            name = member.name.removeprefix("./")
            if not kept(member.name) or name in overlaid:
                continue
            if member.isdir():
                folders.add(name)
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
        for name, mode in MOUNT_POINTS.items():
            target.addfile(_folder(name, mode))
        for folder in missing_parents(overlay, folders):
            target.addfile(_folder(folder, 0o755))
        for item in overlay:
            entry = tarfile.TarInfo(f"./{item.path}")
            entry.mode, entry.size = item.mode, item.source.stat().st_size
            with item.source.open("rb") as content:
                target.addfile(entry, content)


def missing_parents(overlay: list[Laid], folders: set[str]) -> list[str]:
    """The folders that the overlay needs and the root does not have, outer ones first."""
    needed = {str(parent) for item in overlay for parent in item.path.parents if str(parent) != "."}
    return sorted(needed - folders)


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"./{name}")
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    return entry
