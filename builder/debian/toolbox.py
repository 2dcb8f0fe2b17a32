"""Programs and boot files of Debian 13 that this machine's Debian lacks or has too old, unpacked below the cache.

``BUILD``: the store's file system is made and checked by the ``xfs_*`` of the host's own release; GRUB and shim are
the signed boot loaders, and the BIOS modules together with the ``grub-mkimage`` they were built with. ``EMULATOR``: the
QEMU that plays the PCs. Nothing is installed (builder.debian.fetch); programs run through their own dynamic loader.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.debian.fetch import RELEASE, fetch, unpack
from builder.places import CACHE
from soulpad.base.errors import MissingProgram
from soulpad.base.progress import Progress, Silent
from soulpad.base.run import Argument


@dataclass(frozen=True)
class Kit:
    """What a toolbox holds. ``programs``: where each one lies in its package. ``whole``: all that the packages
    depend on belongs to it; otherwise the list has every library that the programs need (a component test)."""

    title: str
    packages: tuple[str, ...]
    programs: tuple[tuple[str, str], ...]
    whole: bool = False

    @property
    def key(self) -> str:
        """Changes with the kit's content, save Debian's own progress."""
        words = (RELEASE, *self.packages, *(name for name, _ in self.programs), *(["whole"] if self.whole else []))
        return f"{RELEASE}-{hashlib.sha256(chr(10).join(words).encode()).hexdigest()[:12]}"


BUILD = Kit(
    "Debian 13's boot loaders and XFS programs",
    (
        "xfsprogs", "libinih1", "liburcu8t64", "libuuid1", "libblkid1", "libedit2", "libbsd0", "libmd0", "libtinfo6",
        "grub-common", "libdevmapper1.02.1", "liblzma5", "libselinux1", "libpcre2-8-0", "libudev1", "libcap2", "libc6",
        "grub-pc-bin", "grub-efi-amd64-signed", "shim-signed", "shim-helpers-amd64-signed",
    ),
    (
        ("mkfs.xfs", "usr/sbin/mkfs.xfs"),
        ("xfs_db", "usr/sbin/xfs_db"),
        ("xfs_io", "usr/sbin/xfs_io"),
        ("xfs_repair", "usr/sbin/xfs_repair"),
        ("grub-mkimage", "usr/bin/grub-mkimage"),
        ("grub-script-check", "usr/bin/grub-script-check"),
    ),
)  # fmt: skip
EMULATOR = Kit(
    "Debian 13's QEMU",
    ("qemu-system-x86", "qemu-system-modules-spice"),  # the second: the card qxl-vga
    (("qemu-system-x86_64", "usr/bin/qemu-system-x86_64"),),
    whole=True,
)

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = f"{_LIBRARIES}/ld-linux-x86-64.so.2"
_LAUNCHERS = "launchers"

SHIM = "usr/lib/shim/shimx64.efi.signed"
MOK_MANAGER = "usr/lib/shim/mmx64.efi.signed"
SIGNED_GRUB = "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"
BIOS_GRUB = "usr/lib/grub/i386-pc"


@dataclass(frozen=True)
class Toolbox:
    """An unpacked toolbox below ``root``."""

    root: Path
    kit: Kit = BUILD

    def argv(self, program: str, *arguments: Argument) -> list[str]:
        """The command that runs one of the kit's programs with its own libraries. Raises MissingProgram."""
        programs = dict(self.kit.programs)
        if program not in programs:
            raise MissingProgram(f"{program} is not in the toolbox", f"it has: {', '.join(programs)}")
        # A launcher is the dynamic loader under the program's name, so that errors name the program (ld.so(8)).
        launcher = self.root / _LAUNCHERS / program
        binary = self.path(programs[program])
        words = [launcher, "--library-path", self.path(_LIBRARIES), "--argv0", program, binary, *arguments]
        return [str(word) for word in words]

    def path(self, name: str) -> Path:
        """A file of the unpacked packages, for example ``toolbox.SHIM``. Raises MissingProgram."""
        path = self.root / name
        if not path.exists():
            raise MissingProgram(f"{name} is not in the toolbox", f"remove {self.root} and run it again")
        return path

    @property
    def grub_modules(self) -> Path:
        """The folder with GRUB's images and modules for BIOS PCs (``i386-pc``)."""
        return self.path(BIOS_GRUB)


def toolbox(progress: Progress | None = None, folder: Path = CACHE / "toolbox", kit: Kit = BUILD) -> Toolbox:
    """The toolbox, fetched (15 MB, the emulator's 40) when ``folder`` does not hold this very kit yet.

    Raises BadInput without a Debian mirror and ProgramFailed when the download fails; ``folder`` is then as before.
    """
    root = folder / kit.key
    if not root.exists():
        (progress or Silent()).step(f"Fetching {kit.title}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as work:
            _make(Path(work), kit, root)
    return Toolbox(root, kit)


def _make(work: Path, kit: Kit, root: Path) -> None:
    packages = fetch(kit.packages, work, with_dependencies=kit.whole)
    unpacked = work / "root"
    unpack(packages, unpacked)
    _make_launchers(unpacked, kit)
    (unpacked / "packages.txt").write_text("".join(f"{package.name}\n" for package in packages))
    with _lost_race_is_fine(root):
        unpacked.rename(root)  # commit point: before it there is no toolbox, after it a whole one


@contextmanager
def _lost_race_is_fine(root: Path) -> Iterator[None]:
    """Two builds may fetch at once; the second finds the first's toolbox in place and uses that."""
    try:
        yield
    except OSError:
        if not root.exists():
            raise


def _make_launchers(unpacked: Path, kit: Kit) -> None:
    launchers = unpacked / _LAUNCHERS
    launchers.mkdir()
    for program, _ in kit.programs:
        (launchers / program).symlink_to(Path("..") / _LOADER)
