"""What is in the store's file system, read from a plain image without mounting it.

xfs_db(8) knows the structures: it lists folders, of whichever form (in the inode, in a block, in a B-tree), and tells
in which blocks of the image a file's contents lie; those are then read from the image itself. Inodes are named by
their numbers, because xfs_db's own paths know no quoting. The log is not replayed: after a power cut the newest
changes may be missing here, until the store has been mounted once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder.store.xfs import ToolArgv, query
from soulpad.base.errors import BadInput, StoreDamaged
from soulpad.base.units import MIB, format_bytes

LARGEST_READ_BYTES = 16 * MIB

# ls: cookie, inode, type, hash, length of the name, name (good|corrupt)
_ENTRY = re.compile(r"^\d+ +(\d+) +(\w+) +0x[0-9a-f]+ +\d+ (.+) \((\w+)\)$")
# bmap: data offset BLOCK startblock BLOCK (GROUP/BLOCK) count BLOCKS flag 0|1, 1 for space that was never written
_EXTENT = re.compile(r"^data offset (\d+) startblock \d+ \((\d+)/(\d+)\) count (\d+) flag 0$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A file or folder. ``kind`` as xfs_db names it: regular, directory, symlink..."""

    inode: int
    kind: str
    size_bytes: int


@dataclass(frozen=True)
class _Extent:
    """``count`` bytes of a file from ``position`` on lie at ``image_position`` of the image."""

    position: int
    image_position: int
    count: int


def list_tree(image: Path, tool: ToolArgv) -> dict[PurePosixPath, Entry]:
    """Everything below the root folder, by relative path. Raises StoreDamaged."""
    found: dict[PurePosixPath, tuple[int, str]] = {}
    folders = {_root_inode(image, tool): PurePosixPath()}
    while folders:
        level = {
            folders[folder] / name: (inode, kind) for folder, name, inode, kind in _list(image, tool, list(folders))
        }
        found |= level
        folders = {inode: path for path, (inode, kind) in level.items() if kind == "directory"}
    sizes = _sizes(image, tool, [inode for inode, _ in found.values()])
    return {path: Entry(inode, kind, sizes[inode]) for path, (inode, kind) in sorted(found.items())}


def read_file(image: Path, path: PurePosixPath, tool: ToolArgv) -> bytes:
    """The contents of a small file, such as ``parcel.json``. Raises BadInput or StoreDamaged."""
    entry = _find(image, path, tool)
    if entry.size_bytes > LARGEST_READ_BYTES:
        raise BadInput(f"{path} has {format_bytes(entry.size_bytes)}", "extract it to a file instead")
    content = bytearray(entry.size_bytes)
    for extent, part in _parts(image, entry, tool):
        content[extent.position : extent.position + len(part)] = part
    return bytes(content)


def extract_file(image: Path, path: PurePosixPath, target: Path, tool: ToolArgv) -> None:
    """Copies a file out of the image into a new one; its holes stay holes. Raises BadInput or StoreDamaged."""
    entry = _find(image, path, tool)
    with target.open("xb") as file:
        for extent, part in _parts(image, entry, tool):
            file.seek(extent.position)
            file.write(part)
        file.truncate(entry.size_bytes)


def _find(image: Path, path: PurePosixPath, tool: ToolArgv) -> Entry:
    inode, kind = _root_inode(image, tool), "directory"
    for name in path.parts:
        entries = {name: (inode, kind) for _, name, inode, kind in _list(image, tool, [inode])}
        if name not in entries:
            raise BadInput(f"{path} is not in the store", "list what is there: soulpad inspect")
        inode, kind = entries[name]
    if kind != "regular":
        raise BadInput(f"{path} in the store is no file", "name a file")
    return Entry(inode, kind, _sizes(image, tool, [inode])[inode])


def _list(image: Path, tool: ToolArgv, folders: Iterable[int]) -> Iterator[tuple[int, str, int, str]]:
    """The entries of several folders: the folder's inode, the entry's name, its inode and its kind."""
    commands = (command for folder in folders for command in (f"inode {folder}", f"echo folder {folder}", "ls"))
    folder = 0
    for line in query(image, tool, *commands).splitlines():
        if line.startswith("folder "):
            folder = int(line.split()[1])
            continue
        entry = _ENTRY.match(line)
        if not entry or entry[4] != "good":
            raise StoreDamaged(f"a folder of the store is damaged: {line}", "restore the store from a backup")
        if entry[3] not in (".", ".."):
            yield folder, entry[3], int(entry[1]), entry[2]


def _sizes(image: Path, tool: ToolArgv, inodes: list[int]) -> dict[int, int]:
    commands = (command for inode in inodes for command in (f"inode {inode}", "print core.size"))
    said = query(image, tool, *commands) if inodes else ""
    return dict(zip(inodes, map(int, re.findall(r"^core\.size = (\d+)$", said, re.MULTILINE)), strict=True))


def _parts(image: Path, entry: Entry, tool: ToolArgv) -> Iterator[tuple[_Extent, bytes]]:
    """The file's written parts, at most 1 MiB at a time and none beyond its end."""
    with image.open("rb") as file:
        for extent in _extents(image, entry.inode, tool):
            for done in range(0, extent.count, MIB):
                position = extent.position + done
                count = min(MIB, extent.count - done, entry.size_bytes - position)
                if count <= 0:
                    break
                file.seek(extent.image_position + done)
                yield _Extent(position, extent.image_position + done, count), file.read(count)


def _extents(image: Path, inode: int, tool: ToolArgv) -> list[_Extent]:
    group_blocks, block_bytes, said = _geometry(image, tool, f"inode {inode}", "bmap")
    return [
        _Extent(at * block_bytes, (group * group_blocks + first) * block_bytes, count * block_bytes)
        for at, group, first, count in (map(int, extent) for extent in _EXTENT.findall(said))
    ]


def _geometry(image: Path, tool: ToolArgv, *commands: str) -> tuple[int, int, str]:
    """Blocks of an allocation group, bytes of a block, and the answer to further commands."""
    said = query(image, tool, "sb 0", "print agblocks blocksize", *commands)
    numbers = dict(re.findall(r"^(agblocks|blocksize) = (\d+)$", said, re.MULTILINE))
    return int(numbers["agblocks"]), int(numbers["blocksize"]), said


def _root_inode(image: Path, tool: ToolArgv) -> int:
    said = query(image, tool, "sb 0", "print rootino")
    return int(said.split()[-1])
