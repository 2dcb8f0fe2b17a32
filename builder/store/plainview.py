"""A look into the encrypted store that decrypts only the sectors that are asked for.

A stick's payload has tens of gigabytes, what says which parcels it holds a few hundred kilobytes: reading it takes
a moment, no scratch space and no device-mapper, and nothing in the clear ever reaches a disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.disk.partitions import Partition
from builder.store import luks
from builder.store.storeimage import payload_bytes, require_ours
from builder.store.xts import CRYPT_SECTOR_BYTES, Xts, runs_with_data
from soulpad.base.errors import StoreDamaged
from soulpad.base.secrets import Secret
from soulpad.base.units import round_up
from soulpad.store.stick import PAYLOAD_OFFSET_BYTES


class PlainView:
    """The plain text of a payload of ``size_bytes`` that starts at ``start_bytes`` of an open image or device."""

    def __init__(self, descriptor: int, start_bytes: int, size_bytes: int, volume_key: Secret) -> None:
        self._descriptor = descriptor
        self._start_bytes = start_bytes
        self._size_bytes = size_bytes
        self._xts = Xts(volume_key, encrypting=False)
        self.sectors_read = 0

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Bytes anywhere in the payload; raises StoreDamaged when they lie outside or the device does not give them."""
        first = offset_bytes // CRYPT_SECTOR_BYTES * CRYPT_SECTOR_BYTES
        end = round_up(offset_bytes + length_bytes, CRYPT_SECTOR_BYTES)
        if offset_bytes < 0 or end > self._size_bytes:
            raise StoreDamaged(f"the store points outside of itself, to byte {offset_bytes}", _RESTORE)
        try:
            content = os.pread(self._descriptor, end - first, self._start_bytes + first)
        except OSError as error:
            raise StoreDamaged(f"the store cannot be read at byte {first}: {error.strerror}", _RESTORE) from None
        if len(content) < end - first:
            raise StoreDamaged(f"the store ends at byte {first + len(content)}", _RESTORE)
        plain = bytearray(len(content))
        for start, stop in runs_with_data(content):  # the rest are holes of the image: never written
            plain[start:stop] = self._xts.convert(bytearray(content[start:stop]), first + start)
        self.sectors_read += len(content) // CRYPT_SECTOR_BYTES
        return bytes(plain[offset_bytes - first :][:length_bytes])


_RESTORE = "restore the store from a backup"


@contextmanager
def plain_view(path: Path, partition: Partition, secret: Secret) -> Iterator[PlainView]:
    """Unlocks the parcels partition of an image or device. Raises WrongPassphrase, BadImage, StoreDamaged or
    UnknownFormat."""
    require_ours(luks.read_header(path, partition.offset_bytes))
    with tempfile.TemporaryDirectory(prefix="soulpad-header-") as folder:
        header = Path(folder) / "header"
        luks.copy_header(path, partition.offset_bytes, header)
        volume_key = luks.volume_key(header, secret)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        start_bytes = partition.offset_bytes + PAYLOAD_OFFSET_BYTES
        yield PlainView(descriptor, start_bytes, payload_bytes(partition.size_bytes), volume_key)
    finally:
        os.close(descriptor)
