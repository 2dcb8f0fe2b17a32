"""The parcels partition of a stick's image: written from a tree of files, and read back.

A partition is the LUKS2 header (16 MiB) and the payload behind it: an encrypted XFS. It is made as the running host
would find it, without root, mount or device-mapper: the file system as a plain file, then its used blocks encrypted
into the image. What the file system has free stays a hole, so the image is no larger than its contents; whoever
holds the image sees which blocks are in use, not what is in them.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.device.writeplan import data_spans
from builder.store import luks, xts
from builder.store.luks import LuksHeader, LuksSpec
from builder.store.xfs import ToolArgv, Tree, least_size_bytes, make_xfs, used_ranges
from builder.store.xts import Range
from soulpad.base.errors import BadImage, NoSpace, UnknownFormat
from soulpad.base.progress import Progress, Silent
from soulpad.base.secrets import Secret
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES, PAYLOAD_OFFSET_BYTES, STORE_LABEL


def payload_bytes(partition_bytes: int) -> int:
    """What a partition of this size has for the file system: whole sectors behind the header."""
    return max(0, partition_bytes - PAYLOAD_OFFSET_BYTES) // ENCRYPTION_SECTOR_BYTES * ENCRYPTION_SECTOR_BYTES


def least_partition_bytes(tree: Tree) -> int:
    """The least partition that holds the tree; sessions need more (see ``xfs.least_size_bytes``)."""
    return PAYLOAD_OFFSET_BYTES + least_size_bytes(tree)


def write_store(
    image: Path,
    offset_bytes: int,
    size_bytes: int,
    tree: Tree,
    passphrase: Secret,
    key_file: Secret | None,
    spec: LuksSpec,
    tool: ToolArgv,
    progress: Progress,
    scratch: Path,
) -> LuksHeader:
    """Writes the partition of ``size_bytes`` at ``offset_bytes`` of ``image``, where the image must be a hole.

    A plain copy of the file system lies in ``scratch`` meanwhile, which needs as much room as the tree's data; it
    is gone afterwards, whatever happens. The header comes last: before it the partition is not one of LUKS. Raises
    NoSpace (the tree does not fit, or this machine's disk is full), BadInput, WeakPassphrase.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with _full_disk_is_no_space(), TemporaryDirectory(prefix="store-", dir=scratch) as folder:
        plain, header = Path(folder) / "plain.img", Path(folder) / "header.img"
        progress.step("Laying out the parcels")
        make_xfs(plain, payload_bytes(size_bytes), tree, STORE_LABEL, tool)
        ranges = used_ranges(plain, tool)
        progress.step("Making the key slots")
        volume_key = luks.make_header(header, passphrase, key_file, spec)
        progress.step("Encrypting the parcels")
        xts.encrypt(plain, image, offset_bytes + PAYLOAD_OFFSET_BYTES, ranges, volume_key, progress)
        plain.unlink()
        _copy_into(header, image, offset_bytes)
        return luks.read_header(header)


def open_store(
    image: Path, offset_bytes: int, size_bytes: int, secret: Secret, scratch: Path, progress: Progress | None = None
) -> Path:
    """Decrypts the partition into a plain sparse image of its file system: a new file in ``scratch``.

    ``image``: an image or a device; of an image with holes only the data are read. The file holds the user's data in
    the clear and is the caller's to remove. Raises WrongPassphrase, BadImage, StoreDamaged, UnknownFormat, NoSpace;
    nothing is left then.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with _full_disk_is_no_space():
        volume_key = _volume_key(image, offset_bytes, secret, scratch)
        start_bytes, length_bytes = offset_bytes + PAYLOAD_OFFSET_BYTES, payload_bytes(size_bytes)
        ranges = _written_ranges(image, start_bytes, length_bytes)
        with _new_file(scratch, length_bytes) as plain:
            (progress or Silent()).step("Decrypting the parcels")
            xts.decrypt(image, start_bytes, plain, ranges, volume_key, progress or Silent())
            return plain


def require_ours(header: LuksHeader) -> LuksHeader:
    """The header, if its payload is as this program and the host expect it. Raises UnknownFormat."""
    found = (header.cipher, header.volume_key_bytes, header.sector_bytes, header.payload_offset_bytes)
    if found != (luks.CIPHER, luks.VOLUME_KEY_BYTES, ENCRYPTION_SECTOR_BYTES, PAYLOAD_OFFSET_BYTES):
        raise UnknownFormat(f"the store is encrypted in another way: {found}", "use the program that made the stick")
    return header


def _volume_key(image: Path, offset_bytes: int, secret: Secret, scratch: Path) -> Secret:
    require_ours(luks.read_header(image, offset_bytes))
    with TemporaryDirectory(prefix="header-", dir=scratch) as folder:
        header = Path(folder) / "header.img"
        luks.copy_header(image, offset_bytes, header)
        return luks.volume_key(header, secret)


def _written_ranges(image: Path, start_bytes: int, length_bytes: int) -> list[Range]:
    """The ranges of the payload that may hold data, from its start, in whole sectors. Raises BadImage."""
    status = image.stat()
    if stat.S_ISBLK(status.st_mode):
        return [(0, length_bytes)]
    if status.st_size < start_bytes + length_bytes:
        raise BadImage(f"{image} ends inside the store", "copy the image again, it is not whole")
    with image.open("rb") as file:
        spans = list(data_spans(file.fileno(), start_bytes + length_bytes))
    return [
        _whole_sectors(max(start, start_bytes) - start_bytes, end - start_bytes, length_bytes)
        for start, end in spans
        if end > start_bytes
    ]


def _whole_sectors(start: int, end: int, length_bytes: int) -> Range:
    sector = ENCRYPTION_SECTOR_BYTES
    return start // sector * sector, min(-(-end // sector) * sector, length_bytes)


def _copy_into(header: Path, image: Path, offset_bytes: int) -> None:
    with header.open("rb") as source, image.open("r+b") as target:
        target.seek(offset_bytes)
        target.write(source.read(PAYLOAD_OFFSET_BYTES))


@contextmanager
def _new_file(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A new sparse file that only its owner can read; it is removed when the block fails."""
    descriptor, name = tempfile.mkstemp(prefix="parcels-", suffix=".img", dir=folder)
    try:
        os.truncate(descriptor, size_bytes)
        os.close(descriptor)
        yield Path(name)
    except BaseException:
        Path(name).unlink()
        raise


@contextmanager
def _full_disk_is_no_space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NoSpace("this machine's disk is full", "free some space and run it again") from None
