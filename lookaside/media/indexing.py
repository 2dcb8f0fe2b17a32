"""Making a folder's index, from the tables of its packs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookaside.errors import DamagedPack, SourceUnusable
from lookaside.index import INDEX_FILE, Index, PackFile, encode_index, open_index, require_whole_index
from lookaside.media.shelf import Shelf
from lookaside.media.trees import FolderTree
from lookaside.pack import Entry
from soulpad.base.durable import write_durably
from soulpad.base.errors import UnknownFormat

log = logging.getLogger("soulpad.lookaside")


@dataclass(frozen=True)
class Indexed:
    """What an index names. ``left_out``: packs that are damaged, by name."""

    packs: int
    chunks: int
    pack_bytes: int
    index_bytes: int
    left_out: tuple[str, ...]


def write_index(root: Path) -> Indexed:
    """Writes the index of the packs in ``root`` beside them, replacing an older one. Packs that are damaged are left
    out. Raises SourceUnusable, OSError."""
    encoded, left_out = index_of(Shelf(FolderTree(root)))
    write_durably(root / INDEX_FILE, encoded)
    index = open_index(lambda offset, count: encoded[offset : offset + count], len(encoded))
    pack_bytes = sum(file.pack_bytes for file in index.packs)
    return Indexed(len(index.packs), index.record_count, pack_bytes, len(encoded), left_out)


def index_of(shelf: Shelf) -> tuple[bytes, tuple[str, ...]]:
    """A shelf's index, and the names of the packs that are damaged and so not in it. Raises SourceUnusable, OSError."""
    left_out: list[str] = []

    def tables() -> Iterator[tuple[PackFile, list[Entry]]]:
        for file in shelf.packs():
            try:
                yield file, shelf.entries(file)
            except (DamagedPack, UnknownFormat) as error:
                log.warning("pack %s is left out: %s", file.name[:12], error.message)
                left_out.append(file.name)

    try:
        encoded = encode_index(tables())
    except (FileNotFoundError, NotADirectoryError):
        raise SourceUnusable(f"{shelf.name} has no folder packs.", "name a repository, or a copy of one") from None
    return encoded, tuple(left_out)


def check_index(root: Path) -> Index:
    """The index in ``root``, read as a whole. Raises DamagedIndex, UnknownFormat, OSError."""
    path = root / INDEX_FILE
    tree = FolderTree(root)
    return require_whole_index(lambda offset, count: tree.read(INDEX_FILE, offset, count), path.stat().st_size)
