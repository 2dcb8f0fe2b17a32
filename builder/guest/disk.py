"""Makes a guest's disk from a recipe: a Debian root in a raw image that boots on a BIOS machine.

The image has an MBR with one ext4 partition (``/dev/vda1``) and GRUB's core image in front of it. It is assembled in
plain files: below ``fakeroot``, which remembers owners and device nodes, no root, loop device or mount is needed.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from builder.debian.dib import build_root, prune
from builder.debian.initrd import make_initrd
from builder.debian.toolbox import Toolbox, toolbox
from builder.disk.bootsector import COMMON_MODULES, install_bios_grub
from builder.guest.recipe import GuestRecipe, read_guest_recipe
from builder.keys import files_below, key_of
from builder.oneatatime import one_at_a_time
from builder.places import CACHE, IMAGES, ROOT
from soulpad.base.errors import ProgramFailed
from soulpad.base.progress import Progress
from soulpad.base.run import run
from soulpad.base.units import MIB, SECTOR_BYTES

GUESTS = CACHE / "guests"
INITRD = IMAGES / "guest-initrd"
ROOT_LABEL = "guest-root"
PARTITION_OFFSET_BYTES = MIB
GRUB_MODULES = (*COMMON_MODULES, "part_msdos", "ext2")

# What every ext4 driver of the last ten years and GRUB know, whatever this machine's mke2fs.conf says.
_EXT4_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)

# The last console is the program's; the serial one is silent but for a panic, which then is seen and not waited out.
# quiet, loglevel, audit, systemd.show_status: the screen belongs to the program. The rest spares a guest that runs
# in an emulated PC what costs it seconds; rw because remounting the root would be waited for.
KERNEL_ARGUMENTS = (
    *("root=/dev/vda1", "rootfstype=ext4", "rw", "fsck.mode=skip", "console=ttyS0", "console=tty1", "consoleblank=0"),
    *("quiet", "loglevel=3", "audit=0", "systemd.show_status=0", "mitigations=off", "nowatchdog", "selinux=0"),
    # Else every service counts as one terminal's group, and the program's priority among them as nothing.
    "noautogroup",
    # Self-tests of the kernel's cryptography, which nothing here uses.
    *("cryptomgr.notests", "initcall_blacklist=crypto_kdf108_init,init_encrypted,jent_mod_init"),
)


# A guest that brings its own initramfs keeps both up to date itself: Debian's packages move these links.
LINKED_KERNEL, LINKED_INITRD = "/vmlinuz", "/initrd.img"
ORDINARY_ARGUMENTS = ("root=/dev/vda1", "ro", "quiet")


def build_guest(recipe_path: Path, progress: Progress) -> Path:
    """The guest's disk: a sparse raw image, built when it is not in the cache. The cache owns it: copy, don't change.

    Only building the Debian root below it needs root. Raises BadInput and ProgramFailed; after an error or Ctrl-C
    nothing half-made stays.
    """
    recipe = read_guest_recipe(recipe_path)
    root = build_root(f"guest-{recipe.name}", recipe.elements, {}, progress)
    tools = toolbox(progress)
    key = guest_key(recipe, root, tools)
    image = GUESTS / f"{recipe.name}-{key}.img"
    if image.exists():
        with suppress(PermissionError):
            os.utime(image)
        return image
    GUESTS.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(GUESTS, progress, "build of a guest"):
        if not image.exists():
            with _scratch(GUESTS) as scratch:
                assemble(recipe, root, tools, key, scratch, progress)
                (scratch / "disk.img").replace(image)  # commit point
    prune(GUESTS, recipe.name, "img")
    return image


def guest_key(recipe: GuestRecipe, root: Path, tools: Toolbox) -> str:
    """16 hex digits that change with anything that decides the disk's content; ``root``'s name holds its own key."""
    makers = [Path(__file__), ROOT / "builder" / "debian" / "initrd.py", *files_below(INITRD)]
    return key_of((root.name, tools.root.name, repr(recipe)), makers)


def assemble(recipe: GuestRecipe, root: Path, tools: Toolbox, key: str, scratch: Path, progress: Progress) -> None:
    """Leaves ``scratch / "disk.img"``."""
    image = scratch / "disk.img"
    with image.open("wb") as file:
        file.truncate(recipe.disk_bytes)
    progress.step(f"unpacking the root of {recipe.name}")
    tree = Tree(scratch / "tree", scratch / "owners")
    tree.unpack(root)
    config = demonstration(recipe, tree, key, scratch) if recipe.settings else ordinary_config()
    progress.step(f"making the disk of {recipe.name}")
    tree.make_ext4(image, recipe.disk_bytes - PARTITION_OFFSET_BYTES, key)
    with image.open("r+b") as file:
        file.seek(440)
        file.write(mbr_table(recipe.disk_bytes, key))
    install_bios_grub(
        image,
        tools,
        config,
        core_offset_bytes=SECTOR_BYTES,
        core_room_bytes=PARTITION_OFFSET_BYTES - SECTOR_BYTES,
        modules=GRUB_MODULES,
    )


def demonstration(recipe: GuestRecipe, tree: Tree, key: str, scratch: Path) -> str:
    """Makes of the tree the guest that starts as fast as one can, with its settings; returns GRUB's config."""
    version = tree.kernel_version()
    tree.add(
        {
            "etc/demo-soul.conf": settings_file(recipe).encode(),
            "etc/machine-id": f"{machine_id(key)}\n".encode(),
            f"boot/initrd.img-{version}": tree.initrd(version, scratch),
        }
    )
    return embedded_config(version)


@dataclass(frozen=True)
class Tree:
    """A root file system in a folder; ``owners`` is what fakeroot remembers of it between two programs."""

    folder: Path
    owners: Path

    def unpack(self, archive: Path) -> None:
        """Fills the folder from a tar of a root."""
        self.folder.mkdir()
        self.owners.touch()
        run(self._as_root("tar", "--numeric-owner", "-xpC", self.folder, "-f", archive))

    def add(self, files: Mapping[str, bytes]) -> None:
        """Lays files of root's over the folder, path to content."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text))
        run(self._as_root("tar", "-xpC", self.folder, "-f", "-"), stdin=content.getvalue())

    def make_ext4(self, image: Path, size_bytes: int, key: str) -> None:
        """Writes the folder into ``image`` as the file system of its partition."""
        uuid = _uuid(key)
        options = f"offset={PARTITION_OFFSET_BYTES},root_owner=0:0,hash_seed={uuid},lazy_itable_init=0"
        run(
            self._as_root(
                *("mke2fs", "-q", "-F", "-t", "ext4", "-O", _EXT4_FEATURES, "-b", "4096", "-I", "256", "-m", "1"),
                *("-J", "size=16", "-L", ROOT_LABEL, "-U", uuid, "-E", options, "-d", self.folder),
                *(image, f"{size_bytes // 1024}k"),
            ),
            env={"MKE2FS_CONFIG": os.devnull},
            hint="perhaps disk_size is too small for the root",
        )

    def kernel_version(self) -> str:
        """Of the one kernel in it. Raises ProgramFailed when there is none or more."""
        versions = [path.name.removeprefix("vmlinuz-") for path in self.folder.glob("boot/vmlinuz-*")]
        if len(versions) != 1:
            raise ProgramFailed(
                f"the root has {len(versions)} kernels, and must have one", "see post-install.d of the recipe's element"
            )
        return versions[0]

    def initrd(self, kernel_version: str, scratch: Path) -> bytes:
        """A small initramfs for the kernel, with the root's own busybox."""
        modules, busybox = self.folder / "usr/lib/modules" / kernel_version, self.folder / "usr/bin/busybox"
        make_initrd(INITRD, modules, busybox, scratch, scratch / "initrd.img")
        return (scratch / "initrd.img").read_bytes()

    def _as_root(self, *words: str | Path) -> list[str | Path]:
        return ["fakeroot", "-i", self.owners, "-s", self.owners, "--", *words]


def settings_file(recipe: GuestRecipe) -> str:
    """``/etc/demo-soul.conf``."""
    return "".join(f"{name} = {value}\n" for name, value in recipe.settings)


def embedded_config(kernel_version: str) -> str:
    """What GRUB's core image does in the demonstration's guest."""
    return boot_config(f"/boot/vmlinuz-{kernel_version}", f"/boot/initrd.img-{kernel_version}", KERNEL_ARGUMENTS)


def ordinary_config() -> str:
    """What it does in a guest that updates its kernel by itself."""
    return boot_config(LINKED_KERNEL, LINKED_INITRD, ORDINARY_ARGUMENTS)


def boot_config(kernel: str, initrd: str, arguments: tuple[str, ...]) -> str:
    """No menu, and no file to read but kernel and initramfs."""
    return f"""\
search --no-floppy --set=root --label {ROOT_LABEL}
linux {kernel} {" ".join(arguments)}
initrd {initrd}
boot
"""


def mbr_table(disk_bytes: int, key: str) -> bytes:
    """The MBR from its disk signature (byte 440) on: one active Linux partition from 1 MiB to the end."""
    first = PARTITION_OFFSET_BYTES // SECTOR_BYTES
    # The classic record: status, first CHS, type, last CHS (both "beyond CHS"), first sector, count of sectors.
    beyond = b"\xfe\xff\xff"
    record = struct.pack("<B3sB3sII", 0x80, beyond, 0x83, beyond, first, disk_bytes // SECTOR_BYTES - first)
    return bytes.fromhex(key)[:4] + bytes(2) + record + bytes(3 * 16) + b"\x55\xaa"


def machine_id(key: str) -> str:
    """machine-id(5): fixed at build, so that no first boot has to make one."""
    return _uuid(key).replace("-", "")


def _uuid(key: str) -> str:
    return str(UUID(bytes=hashlib.sha256(key.encode()).digest()[:16], version=4))


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
        yield Path(scratch)
