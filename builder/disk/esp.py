"""The EFI system partition: FAT32, made and read with mtools inside the image. No mount, no loop device, no root.

``image`` may be a device as well. Paths within the partition are written with slashes and without a leading one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from builder.disk.partitions import Partition
from soulpad.base.errors import BadImage, BadInput, ProgramFailed
from soulpad.base.run import Argument, Result, run
from soulpad.base.units import KIB, SECTOR_BYTES, format_bytes

Content = Path | bytes

# A FAT is a FAT32 by its number of clusters alone: Microsoft's FAT specification 1.03, "FAT type determination".
# The margin stands for the reserved sectors and the FATs themselves.
_LEAST_CLUSTERS = 65525
_CLUSTER_MARGIN = 1.05
_LARGEST_CLUSTER_BYTES = 4 * KIB


def write_esp(
    image: Path,
    partition: Partition,
    label: str,
    files: Mapping[str, Content],
    sector_bytes: int = SECTOR_BYTES,
) -> None:
    """Makes an empty file system labelled ``label`` and puts ``files`` (path within it to content) on it.

    ``sector_bytes``: the logical sector of the disk; Linux mounts no FAT with smaller ones.
    """
    run(format_argv(image, partition, label, sector_bytes), env=_ENVIRONMENT)
    put_esp_files(image, partition, files)


def put_esp_files(image: Path, partition: Partition, files: Mapping[str, Content]) -> None:
    """Puts ``files`` on an ESP that exists, in place of files of the same names."""
    present = _folders_on(image, partition)
    folders = [folder for folder in folders_of(files) if folder.casefold() not in present]
    if folders:
        _mtools("mmd", image, partition, *(f"::/{folder}" for folder in folders))
    with tempfile.TemporaryDirectory(prefix="soulpad-esp-") as staging:
        for number, (name, content) in enumerate(files.items()):
            source = _as_file(content, Path(staging) / str(number))
            _mtools("mcopy", image, partition, "-o", source, f"::/{name}")


def read_esp_file(image: Path, partition: Partition, path: str) -> bytes:
    """The bytes of one file. Raises BadImage when the ESP is damaged or has no such file."""
    with tempfile.TemporaryDirectory(prefix="soulpad-esp-") as staging:
        copy = Path(staging) / "copy"
        try:
            _mtools("mcopy", image, partition, f"::/{path}", copy)
        except ProgramFailed as error:
            raise BadImage(f"{image} has no readable {path} on its ESP ({error.message})") from None
        return copy.read_bytes()


def format_argv(image: Path, partition: Partition, label: str, sector_bytes: int = SECTOR_BYTES) -> list[str]:
    """The mformat(1) command for a FAT32 that fills the partition.

    Hidden sectors (-H) and geometry are what a BIOS would say; the serial number (-N) comes from the partition's
    uuid, so that the same layout gives the same file system. Raises BadInput when the partition is too small.
    """
    sectors = partition.size_bytes // sector_bytes
    geometry = ["-T", sectors, "-h", 255, "-s", 63, "-H", partition.offset_bytes // sector_bytes]
    clusters = ["-F", "-c", cluster_sectors(partition.size_bytes, sector_bytes)]
    size_code = ["-S", (sector_bytes // 128).bit_length() - 1]  # 128 bytes shifted left by this
    name = ["-v", label, "-N", partition.uuid.hex[:8]]
    return ["mformat", "-i", _place(image, partition), *map(str, geometry + clusters + size_code), *name, "::"]


def cluster_sectors(size_bytes: int, sector_bytes: int) -> int:
    """Sectors per cluster: the largest clusters (faster to load from, up to 4 KiB) of which there are enough."""
    sectors = max(_LARGEST_CLUSTER_BYTES // sector_bytes, 1)
    while sectors > 1 and size_bytes // (sectors * sector_bytes) < _LEAST_CLUSTERS * _CLUSTER_MARGIN:
        sectors //= 2
    least_bytes = int(_LEAST_CLUSTERS * _CLUSTER_MARGIN) * sector_bytes
    if size_bytes < least_bytes:
        raise BadInput(
            f"{format_bytes(size_bytes)} is too small for a FAT32 file system",
            f"make the ESP at least {format_bytes(least_bytes)}",
        )
    return sectors


def folders_of(files: Iterable[str]) -> list[str]:
    """All folders that ``files`` lie in, parents first."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    return sorted(folders, key=lambda folder: (folder.count("/"), folder))


def _folders_on(image: Path, partition: Partition) -> set[str]:
    """The folders that exist, in lower case as FAT ignores it. mdir ends with 1 when there is nothing at all."""
    listed = run(["mdir", "-b", "-/", "-i", _place(image, partition), "::/"], env=_ENVIRONMENT, ok_codes=(0, 1)).stdout
    return {line.removeprefix("::/").rstrip("/").casefold() for line in listed.splitlines() if line.endswith("/")}


# mtools refuses geometries that no floppy has unless told not to look (mtools.conf, MTOOLS_SKIP_CHECK).
_ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1"}


def _mtools(program: str, image: Path, partition: Partition, *arguments: Argument) -> Result:
    return run([program, "-i", _place(image, partition), *arguments], env=_ENVIRONMENT)


def _place(image: Path, partition: Partition) -> str:
    return f"{image}@@{partition.offset_bytes}"


def _as_file(content: Content, staged: Path) -> Path:
    if isinstance(content, Path):
        return content
    staged.write_bytes(content)
    return staged
