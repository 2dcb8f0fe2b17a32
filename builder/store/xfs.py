"""The store's file system, made from a tree of files and checked, as a plain sparse image: no mount, no root.

mkfs.xfs populates what it makes from a *protofile* (mkfs.xfs(8), ``-p``): a text of tokens separated by white space.

    /                                   a word that is ignored
    0 0                                 two numbers that are ignored
    d--711 0 0                          the root folder: mode, user, group
    parcels d--711 0 0                  a folder: its entries follow, up to a ``$``
    parcel.json ---600 0 0 SOURCE       a file, and the file whose contents and holes it takes
    $                                   the end of ``parcels``
    $                                   the end of the root folder

The programs must be those of Debian 13 (``builder.debian.toolbox``): older ones fail on sparse sources larger
than the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from builder.device.writeplan import data_spans
from builder.store.xts import Range
from soulpad.base.errors import BadInput, NoSpace, ProgramFailed, StoreDamaged
from soulpad.base.run import run
from soulpad.base.units import KIB, MIB, format_bytes, round_up
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES

ToolArgv = Callable[..., list[str]]  # a program's name and its arguments to the whole command
Content = Path | bytes | None  # a file that is copied, the contents themselves, or None for a folder
Tree = Mapping[PurePosixPath, Content]  # relative paths; the folders above them need not be named

BLOCK_BYTES = 4 * KIB
COW_EXTENT_BLOCKS = 1
LEAST_XFS_BYTES = 300 * MIB  # mkfs.xfs refuses less
# Only root's programs read the store's files; QEMU, as a user of its own, passes through to those it is given.
FOLDER_MODE = 0o711
FILE_MODE = 0o600

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._+@=-]{1,255}")  # a protofile's tokens know no quoting
_LEAST_LOG_BYTES = 64 * MIB
_LOG_SHARE = 2048  # mkfs.xfs: the log has the 2048th part of a large file system
_INODE_CHUNK_BYTES = 32 * KIB

_Branch = dict[str, "str | _Branch"]  # a folder: its names, each a source's name or a folder again


def mkfs_argv(image: Path, label: str, proto_name: str, tool: ToolArgv) -> list[str]:
    """Sectors of 4096 bytes are a must inside a LUKS payload of such sectors: with smaller ones the mount fails.

    No reverse mapping: it makes the clones of large fragmented files several times slower. Copy-on-write of single
    blocks: what XFS else sets aside around each one comes in the way when a file's pieces are brought together
    (docs/decisions/0007-extents.md). Every folder and file inherits that.
    """
    metadata = "reflink=1,bigtime=1,rmapbt=0"
    sectors = f"size={ENCRYPTION_SECTOR_BYTES}"
    copies = f"cowextsize={COW_EXTENT_BLOCKS}"
    options = ["-s", sectors, "-m", metadata, "-d", copies, "-p", proto_name]
    return tool("mkfs.xfs", "-q", "-f", "-L", label, *options, str(image))


def make_xfs(image: Path, size_bytes: int, tree: Tree, label: str, tool: ToolArgv) -> None:
    """Makes ``image``, a new sparse file of ``size_bytes``, with ``tree`` in it: all root's, times of now.

    Raises BadInput for paths that cannot be stored and NoSpace when the tree does not fit; no image is left then.
    """
    branches = branches_of(tree)
    _require_room(size_bytes, least_size_bytes(tree))
    with TemporaryDirectory(prefix=".proto-", dir=image.parent) as folder:
        staging = Path(folder)
        _stage(staging, tree)
        (staging / "proto").write_text(protofile(branches))
        try:
            with image.open("xb") as file:
                file.truncate(size_bytes)
            run(mkfs_argv(image.resolve(), label, "proto", tool), cwd=staging)
        except BaseException:
            image.unlink(missing_ok=True)
            raise


def branches_of(tree: Tree) -> _Branch:
    """The tree, folder by folder; a file is given by the name of its staged source. Raises BadInput."""
    root: _Branch = {}
    for index, (path, content) in enumerate(tree.items()):
        if path.is_absolute() or not path.parts or not all(_is_plain(name) for name in path.parts):
            raise BadInput(f"{str(path)!r} cannot be stored", "use relative paths of letters, digits and . _ + @ = -")
        _graft(root, path, None if content is None else f"source-{index}")
    return root


def protofile(branches: _Branch) -> str:
    """The protofile of a tree whose sources lie in the folder where mkfs.xfs runs."""
    return "\n".join(["/", "0 0", f"d--{FOLDER_MODE:03o} 0 0", *_proto_lines(branches), "$", ""])


def least_size_bytes(tree: Tree) -> int:
    """The least size of a file system that holds the tree: an estimate on the safe side.

    What a session needs on top (RAM, changed blocks) is not in it. Raises BadInput when a source is not there.
    """
    data_bytes = sum(_stored_bytes(content) for content in tree.values())
    folders = {folder for path in tree for folder in (path, *path.parents)}
    own_bytes = len(folders) * (_INODE_CHUNK_BYTES + BLOCK_BYTES) + data_bytes // 64
    log_bytes = max(_LEAST_LOG_BYTES, 2 * data_bytes // _LOG_SHARE)
    return max(LEAST_XFS_BYTES, round_up(data_bytes + own_bytes + log_bytes + 8 * MIB, MIB))


def used_ranges(image: Path, tool: ToolArgv) -> list[Range]:
    """All bytes of an unmounted image that its file system does not list as free, in ascending ranges.

    Asking the host's file system for the image's holes instead would be wrong: the log and other space that XFS owns
    but never wrote looks like a hole, and must be encrypted, or it reads as garbage. Raises StoreDamaged.
    """
    commands = ("sb 0", "print agblocks blocksize dblocks fdblocks", "freesp -d")
    said = query(image, tool, *commands)
    super_block = {name: int(value) for name, value in re.findall(r"^(\w+) = (\d+)$", said, re.MULTILINE)}
    listed, _, _ = said.partition(" from ")  # the histogram behind the list
    free = [(int(ag), int(at), int(count)) for ag, at, count in re.findall(r"^ +(\d+) +(\d+) +(\d+)$", listed, re.M)]
    if sum(count for _, _, count in free) > super_block["fdblocks"]:
        raise StoreDamaged("the store's file system lists more free blocks than it counts", "make the store again")
    return _between(free, super_block)


def check_xfs(image: Path, tool: ToolArgv) -> None:
    """Checks the whole file system of an image, changing nothing. Raises StoreDamaged."""
    try:
        run(tool("xfs_repair", "-n", "-f", str(image)))
    except ProgramFailed as error:
        raise StoreDamaged(f"the store's file system is damaged: {error.message}", "restore it from a backup") from None


def query(image: Path, tool: ToolArgv, *commands: str) -> str:
    """What xfs_db(8) answers, reading only. Raises StoreDamaged when it cannot read the file system."""
    words = [word for command in commands for word in ("-c", command)]
    try:
        return run(tool("xfs_db", "-r", *words, str(image))).stdout
    except ProgramFailed as error:
        raise StoreDamaged(
            f"the store's file system cannot be read: {error.message}", "restore it from a backup"
        ) from None


def _is_plain(name: str) -> bool:
    return name not in (".", "..") and _PLAIN_NAME.fullmatch(name) is not None


def _graft(root: _Branch, path: PurePosixPath, source: str | None) -> None:
    branch = root
    for name in path.parts if source is None else path.parts[:-1]:
        below = branch.setdefault(name, {})
        if isinstance(below, str):
            raise BadInput(f"{str(path)!r} lies in a file", "a path of the tree is either a file or a folder")
        branch = below
    if source is not None and branch.setdefault(path.name, source) != source:
        raise BadInput(f"{str(path)!r} is a folder too", "a path of the tree is either a file or a folder")


def _proto_lines(branches: _Branch) -> Iterator[str]:
    for name, below in sorted(branches.items()):
        if isinstance(below, str):
            yield f"{name} ---{FILE_MODE:03o} 0 0 {below}"
        else:
            yield f"{name} d--{FOLDER_MODE:03o} 0 0"
            yield from _proto_lines(below)
            yield "$"


def _stage(staging: Path, tree: Tree) -> None:
    """Gives every source a name that a protofile can hold: a link to it, or a file of the given bytes."""
    for index, content in enumerate(tree.values()):
        source = staging / f"source-{index}"
        if isinstance(content, bytes):
            source.write_bytes(content)
        elif content is not None:
            source.symlink_to(content.resolve())


def _stored_bytes(content: Content) -> int:
    if content is None:
        return 0
    if isinstance(content, bytes):
        return round_up(len(content), BLOCK_BYTES)
    try:
        with content.open("rb") as file:
            spans = data_spans(file.fileno(), content.stat().st_size)
            return sum(round_up(end, BLOCK_BYTES) - start // BLOCK_BYTES * BLOCK_BYTES for start, end in spans)
    except OSError as error:
        raise BadInput(f"{content} cannot be read: {error.strerror}", "name an existing disk image") from None


def _require_room(size_bytes: int, least_bytes: int) -> None:
    if size_bytes < least_bytes:
        raise NoSpace(
            f"the parcels need {format_bytes(least_bytes)}, their partition holds {format_bytes(size_bytes)}",
            "give the stick a larger size, or fewer parcels",
        )


def _between(free: list[tuple[int, int, int]], super_block: Mapping[str, int]) -> list[Range]:
    """The ranges between the free extents (group, first block in it, blocks), in bytes."""
    group_blocks, block_bytes, blocks = (super_block[name] for name in ("agblocks", "blocksize", "dblocks"))
    extents = sorted((ag * group_blocks + at, ag * group_blocks + at + count) for ag, at, count in free)
    fenced = [(0, 0), *extents, (blocks, blocks)]
    return [(one[1] * block_bytes, two[0] * block_bytes) for one, two in pairwise(fenced) if one[1] < two[0]]
