"""The emulated PC's own disk: somebody's files and swap space, which no session may touch.

It looks like a real PC's: a GPT, a file system with files in it, and a swap partition as bait (a careless live
system swaps to it). Its SHA-256 before and after a session is the proof that nothing was written.
"""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.pc.profile import FileSystem, InternalDisk
from soulpad.base.run import run
from soulpad.base.units import KIB, MIB, SECTOR_BYTES

FILES_AT_BYTES = MIB
SWAP_BYTES = 32 * MIB
GPT_TAIL_BYTES = MIB  # the second GPT, and room to keep partitions aligned
SWAP_SIGNATURE_BYTES = 4 * KIB

_HASHED_AT_ONCE_BYTES = MIB
_FILES_TYPE = {FileSystem.EXT4: "linux", FileSystem.VFAT: "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"}
_UUID = "5eed0000-0000-4000-8000-{:012x}"
_DISK_ID, _FILES_ID, _SWAP_ID = (_UUID.format(n) for n in range(3))
_DAY = 1_262_304_000  # 2010-01-01, the date of all files


@dataclass(frozen=True)
class DiskPlan:
    """Where the partitions lie, in bytes."""

    files_bytes: int
    swap_at_bytes: int
    table: str


def plan_disk(disk: InternalDisk) -> DiskPlan:
    """The partition table (as sfdisk reads it): files, then swap."""
    files_bytes = disk.size_bytes - FILES_AT_BYTES - SWAP_BYTES - GPT_TAIL_BYTES
    swap_at_bytes = FILES_AT_BYTES + files_bytes
    lines = (
        "label: gpt",
        f"label-id: {_DISK_ID}",
        _partition(FILES_AT_BYTES, files_bytes, _FILES_TYPE[disk.filesystem], _FILES_ID, "home"),
        _partition(swap_at_bytes, SWAP_BYTES, "swap", _SWAP_ID, "swap"),
    )
    return DiskPlan(files_bytes, swap_at_bytes, "\n".join(lines) + "\n")


def make_internal_disk(disk: InternalDisk, path: Path) -> None:
    """Makes the disk as a sparse file, or leaves nothing. Raises ProgramFailed, MissingProgram, NoSpace."""
    plan = plan_disk(disk)
    staged = path.with_name(f".{path.name}.partial")
    try:
        with staged.open("wb") as file:
            file.truncate(disk.size_bytes)
        run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", staged], stdin=plan.table.encode())
        with tempfile.TemporaryDirectory(prefix="soulpad-pc-") as folder:
            files = write_files(Path(folder))
            if disk.filesystem is FileSystem.EXT4:
                _fill_ext4(staged, plan, files)
            else:
                _fill_vfat(staged, plan, files)
            _mark_swap(staged, plan, Path(folder) / "swap")
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def write_files(folder: Path) -> Path:
    """Somebody's files in a new folder below ``folder``: the same ones every time."""
    home = folder / "home"
    chance = random.Random("somebody's files")
    for n in range(3):
        album = home / f"photos-{n}"
        album.mkdir(parents=True)
        (album / "holiday.jpg").write_bytes(chance.randbytes(200 * KIB))
        (album / "list.txt").write_text("bread\nmilk\nbatteries\n" * (n + 1))
    for path in (*home.rglob("*"), home):
        os.utime(path, (_DAY, _DAY))
    return home


def sha256_sparse(path: Path) -> str:
    """The SHA-256 of a file's content, in hex, as ``sha256sum`` gives it; holes are not read from the disk."""
    digest = hashlib.sha256()
    zeros = memoryview(bytes(_HASHED_AT_ONCE_BYTES))
    with path.open("rb", buffering=0) as file:
        for start, end, is_data in _extents(file.fileno()):
            file.seek(start)
            for position in range(start, end, _HASHED_AT_ONCE_BYTES):
                count = min(_HASHED_AT_ONCE_BYTES, end - position)
                digest.update(_read_exactly(file.fileno(), count) if is_data else zeros[:count])
    return digest.hexdigest()


def _extents(descriptor: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether there is data) of the whole file, in order."""
    size = os.fstat(descriptor).st_size
    position = 0
    while position < size:
        try:
            data = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            data = size
        if data > position:
            yield position, data, False
        if data < size:
            hole = os.lseek(descriptor, data, os.SEEK_HOLE)
            yield data, hole, True
            position = hole
        else:
            position = size


def _read_exactly(descriptor: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(descriptor, count)
        if not part:
            raise EOFError("the file became shorter while it was read")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _partition(start_bytes: int, size_bytes: int, kind: str, uuid: str, name: str) -> str:
    sectors = f"start={start_bytes // SECTOR_BYTES}, size={size_bytes // SECTOR_BYTES}"
    return f'{sectors}, type={kind}, uuid={uuid}, name="{name}"'


def _fill_ext4(image: Path, plan: DiskPlan, files: Path) -> None:
    extended = f"offset={FILES_AT_BYTES},hash_seed={_FILES_ID},root_owner=0:0,lazy_itable_init=1"
    options = ("-q", "-F", "-t", "ext4", "-L", "home", "-U", _FILES_ID, "-E", extended)
    size = f"{plan.files_bytes // KIB}k"
    run(["mke2fs", *options, "-d", files, image, size], env={"E2FSPROGS_FAKE_TIME": str(_DAY)})


def _fill_vfat(image: Path, plan: DiskPlan, files: Path) -> None:
    place = f"{image}@@{FILES_AT_BYTES}"
    env = {"MTOOLS_SKIP_CHECK": "1", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(_DAY)}
    sectors = str(plan.files_bytes // SECTOR_BYTES)
    run(["mformat", "-i", place, "-F", "-T", sectors, "-v", "HOME", "-N", "5eed0001", "::"], env=env)
    run(["mcopy", "-i", place, "-s", "-m", *sorted(files.iterdir()), "::"], env=env)


def _mark_swap(image: Path, plan: DiskPlan, scratch: Path) -> None:
    """mkswap knows no offset (util-linux 2.38): it marks a file of the same size, whose first page is copied."""
    with scratch.open("wb") as file:
        file.truncate(SWAP_BYTES)
    scratch.chmod(0o600)
    run(["mkswap", "--quiet", "--uuid", _SWAP_ID, "--label", "swap", scratch])
    with scratch.open("rb") as marked, image.open("r+b") as disk:
        disk.seek(plan.swap_at_bytes)
        disk.write(marked.read(SWAP_SIGNATURE_BYTES))
