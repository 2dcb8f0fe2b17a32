"""The stock way: squashfs, kernel and Debian's own initramfs of the same root, and a stick made of them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from benchmarks.lab.hostroot import LAB
from benchmarks.lab.stockinside import ENABLED
from benchmarks.lab.stockroot import FILES, PACKAGES, kernel_version, make_initramfs, make_root
from builder.create import put_host
from builder.debian.dib import build_root
from builder.debian.toolbox import toolbox
from builder.disk import bootsector, grubconfig, partitions
from builder.disk.esp import Content, write_esp
from builder.disk.partitions import Layout
from builder.host.image import SQUASHFS_BLOCK, HostImage
from builder.host.recipe import read_host_recipe
from builder.host.roottar import DROPPED
from builder.keys import key_of
from soulpad.base.progress import Progress
from soulpad.base.run import Argument, run
from soulpad.base.units import MIB, round_up
from soulpad.store.stick import ESP_LABEL, partition_name

TIMES = "build.json"
MAKERS = ("stockinside.py", "stockroot.py")


@dataclass(frozen=True)
class StockHost:
    """``build_seconds``: of its making, which may have been an earlier run."""

    image: HostImage
    build_seconds: dict[str, float]
    cached: bool


def stock_host(recipe_path: Path, progress: Progress) -> StockHost:
    """The stock host of the same root, made when it is not in the cache; needs root."""
    recipe = read_host_recipe(recipe_path)
    archive = build_root(recipe.name, recipe.all_elements, {}, progress)
    key = stock_key(archive, recipe.compression_level)
    image = HostImage(LAB / f"stock-{key}", f"stock+{key[:8]}")
    cached = image.folder.exists()
    if not cached:
        LAB.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".stock-", dir=LAB) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            make_image(archive, made, Path(scratch), recipe.compression_level, progress)
            made.replace(image.folder)  # commit point: a folder under its key is whole
    return StockHost(image, json.loads((image.folder / TIMES).read_text()), cached)


def stock_key(archive: Path, level: int) -> str:
    """The key of everything that goes into the stock host but the state of Debian's archive."""
    words = (archive.name, str(level), SQUASHFS_BLOCK, *PACKAGES, *ENABLED, *FILES, *FILES.values())
    return key_of(words, [Path(__file__).parent / name for name in MAKERS])


def make_image(archive: Path, made: Path, scratch: Path, level: int, progress: Progress) -> None:
    """Fills ``made``: host.squashfs, vmlinuz, initrd.img and how long each step took."""
    root, seconds = scratch / "root", dict[str, float]()
    (scratch / "work").mkdir()
    progress.step("stock way: unpacking the root, installing libvirt's daemon")
    with timed(seconds, "root"):
        make_root(archive, root, scratch / "work")
    progress.step("stock way: Debian's initramfs")
    with timed(seconds, "initrd"):
        make_initramfs(root).replace(made / "initrd.img")
    (root / "boot" / f"vmlinuz-{kernel_version(root)}").replace(made / "vmlinuz")
    progress.step("stock way: compressing")
    with timed(seconds, "squashfs"):
        run(squashfs_argv(root, made / "host.squashfs", level))
    (made / TIMES).write_text(json.dumps(seconds))


def squashfs_argv(root: Path, target: Path, level: int) -> list[Argument]:
    """As the product's is compressed; of the folders that it leaves out, what is in them goes."""
    contents = [f"{name}/*" for name in DROPPED if name != "etc/resolv.conf"]
    options = ["-comp", "zstd", "-Xcompression-level", str(level), "-b", SQUASHFS_BLOCK, "-quiet", "-no-progress"]
    return ["mksquashfs", root, target, *options, "-wildcards", "-e", *contents]


def assemble(host: HostImage, stick: Path, progress: Progress) -> None:
    """A stick with the stock host, for BIOS PCs: the product's partitions with room for nothing else."""
    stick_id = token_hex(4)
    stick.unlink(missing_ok=True)
    layout = stock_layout(host.squashfs.stat().st_size, stick_id)
    partitions.write_table(stick, layout)
    files: dict[str, Content] = {
        grubconfig.KERNEL: host.kernel,
        grubconfig.INITRD: host.initrd,
        grubconfig.CONFIG: grub_config(stick_id).encode(),
        grubconfig.marker_name(stick_id): b"",
    }
    write_esp(stick, layout.of("esp"), ESP_LABEL, files)
    bios = layout.of("bios")
    bootsector.install_bios_grub(
        stick,
        toolbox(progress),
        grubconfig.bios_embedded_config(stick_id),
        core_offset_bytes=bios.offset_bytes,
        core_room_bytes=bios.size_bytes,
    )
    put_host(stick, layout, host, progress)


def stock_layout(host_bytes: int, stick_id: str) -> Layout:
    """Slots no larger than the host, parcels as small as can be."""
    slot_bytes = round_up(host_bytes, MIB)
    total_bytes = partitions.least_total_bytes(host_bytes, host_slot_bytes=slot_bytes) + 4 * MIB
    return partitions.plan(total_bytes, host_bytes, stick_id, host_slot_bytes=slot_bytes)


def grub_config(stick_id: str) -> str:
    """What Debian's GRUB would do, without its five seconds of menu."""
    root = f"root=PARTLABEL={partition_name('host-a', stick_id)} rootfstype=squashfs ro"
    return f"""\
search --no-floppy --set=root --hint=$root --file /{grubconfig.marker_name(stick_id)}
linux /{grubconfig.KERNEL} {root} quiet
initrd /{grubconfig.INITRD}
boot
"""


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the wall-clock seconds of a block."""
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 1)
