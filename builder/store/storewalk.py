"""All files below a folder of a store, found in user space, past what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from builder.store.xfsfile import XfsFile
from builder.store.xfswalk import View, Xfs
from soulpad.base.errors import SoulpadError


@dataclass(frozen=True)
class StoredFile:
    """A file in the store. ``data_bytes``: what it takes there, blocks shared with others included."""

    path: PurePosixPath
    image: XfsFile
    data_bytes: int


def files_in(store: Xfs, view: View, folder: PurePosixPath, problems: list[str]) -> Iterator[StoredFile]:
    """The files in ``folder`` and below. What cannot be looked at is left out and said among ``problems``."""
    try:
        children = store.children(folder)
    except SoulpadError as error:
        problems.append(f"{folder} cannot be looked at: {error.message}")
        return
    for name, inode in children.items():
        if "/" in name or name in (".", ".."):
            problems.append(f"{folder} has an entry that no folder can have")
        elif inode.is_folder:
            yield from files_in(store, view, folder / name, problems)
        elif inode.is_file:
            yield StoredFile(folder / name, XfsFile(store, view, inode), inode.allocated_bytes)
