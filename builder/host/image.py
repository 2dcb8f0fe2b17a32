"""The flow: host recipe -> root (diskimage-builder) -> squashfs, kernel and initramfs in a cache folder.

The root is rebuilt when the elements change; a change of our own code redoes only what is laid over it. What is in
the folder: host.squashfs, vmlinuz, initrd.img. The folder's name ends in the key of everything that went in.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder.debian.dib import build_root
from builder.debian.initrd import make_initrd
from builder.host.native import compile_keeper, compile_libraries
from builder.host.recipe import HostRecipe, read_host_recipe
from builder.host.roottar import Laid, merge
from builder.keys import files_below, key_of
from builder.oneatatime import one_at_a_time
from builder.places import CACHE, HOSTOS, ROOT
from soulpad import __version__
from soulpad.base.progress import Progress
from soulpad.base.run import Argument, failure, run, start

HOSTS = CACHE / "hosts"
KEPT_HOSTS = 3
# The part of the command that the stick's host runs; the builder and its dependencies stay at home.
HOST_PACKAGES = ("base", "store", "vm", "session")
HOST_FOLDERS = ("initrd", "keeper", "native", "programs", "rootfs")
HOST_MODULES = ("__init__.py", "cli/__init__.py", "cli/__main__.py", "cli/main.py", "cli/commands/__init__.py",
                "cli/commands/session_command.py")  # fmt: skip
PYTHON_HOME = PurePosixPath("usr/lib/soulpad/python")
PROGRAMS = PurePosixPath("usr/lib/soulpad/programs")
LIBRARIES = PurePosixPath("usr/lib/soulpad/lib")
SQUASHFS_BLOCK = "128K"


@dataclass(frozen=True)
class HostImage:
    """A finished host in the cache. ``version`` names program version and key."""

    folder: Path
    version: str

    @property
    def squashfs(self) -> Path:
        return self.folder / "host.squashfs"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"


def build_host(recipe_path: Path, progress: Progress) -> HostImage:
    """Builds the host of a recipe, or returns the cached one when nothing changed."""
    recipe = read_host_recipe(recipe_path)
    root_tar = build_root(recipe.name, recipe.all_elements, {}, progress)
    key = host_key(recipe, root_tar)
    image = HostImage(HOSTS / f"{recipe.name}-{key}", f"{__version__}+{key[:8]}")
    if image.folder.exists():
        return image
    HOSTS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(one_at_a_time(HOSTS, progress, "build of a host"))
        if not image.folder.exists():
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=HOSTS, prefix=".making-")))
            made = scratch / "made"
            made.mkdir()
            unpack_parts(root_tar, scratch / "root", progress)
            make_boot_files(scratch, made)
            overlay = lay_overlay(scratch / "overlay", scratch / "root")
            make_squashfs(root_tar, overlay, made / "host.squashfs", recipe.compression_level, progress)
            made.replace(image.folder)  # commit point: a folder under its key is whole
            prune(recipe.name)
    return image


def host_key(recipe: HostRecipe, root_tar: Path) -> str:
    """The key of everything that goes into the image."""
    words = (root_tar.name, str(recipe.compression_level), SQUASHFS_BLOCK, __version__)
    makers = [
        ROOT / "builder" / name for name in ("debian/initrd.py", "host/image.py", "host/roottar.py", "host/native.py")
    ]
    return key_of(words, [*makers, *host_sources()])


def host_sources() -> list[Path]:
    """Our own files that go onto the host."""
    package = ROOT / "soulpad"
    modules = [package / name for name in HOST_MODULES]
    packages = [path for name in HOST_PACKAGES for path in files_below(package / name)]
    data = [
        path for name in ("initrd", "keeper", "native", "programs", "rootfs") for path in files_below(HOSTOS / name)
    ]
    return [*modules, *packages, *data]


def unpack_parts(root_tar: Path, target: Path, progress: Progress) -> None:
    """Unpacks what building needs from the root: kernel, modules, busybox, Python."""
    progress.step("Unpacking kernel and tools of the host")
    target.mkdir()
    parts = ("./boot/vmlinuz-*", "./usr/lib/modules/*", "./usr/bin/busybox", "./usr/bin/python3.*",
             "./usr/lib/python3.*", "./usr/lib/x86_64-linux-gnu/lib[cmez]*.so*", "./usr/lib/x86_64-linux-gnu/ld-*",
             "./usr/lib/x86_64-linux-gnu/libpthread*", "./usr/lib/x86_64-linux-gnu/libdl*")  # fmt: skip
    argv: list[Argument] = [
        "tar",
        "-C",
        target,
        "--no-same-owner",
        "--exclude=*/__pycache__",
        "--wildcards",
        "-xf",
        root_tar,
    ]
    run([*argv, *parts])


def make_boot_files(scratch: Path, made: Path) -> None:
    """Kernel and initramfs."""
    root = scratch / "root"
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    (modules,) = (root / "usr/lib/modules").iterdir()
    shutil.copyfile(kernel, made / "vmlinuz")
    keeper = compile_keeper(scratch / "keeper")
    make_initrd(HOSTOS / "initrd", modules, root / "usr/bin/busybox", scratch, made / "initrd.img", keeper)


def lay_overlay(stage: Path, root: Path) -> list[Laid]:
    """Collects our files as they will lie on the host, with byte code by the host's own Python."""
    shutil.copytree(HOSTOS / "rootfs", stage)
    shutil.copytree(HOSTOS / "programs", stage / PROGRAMS, ignore=shutil.ignore_patterns("__pycache__"))
    for name in HOST_PACKAGES:
        target = stage / PYTHON_HOME / "soulpad" / name
        shutil.copytree(ROOT / "soulpad" / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    for name in HOST_MODULES:
        target = stage / PYTHON_HOME / "soulpad" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "soulpad" / name, target)
    (stage / LIBRARIES).mkdir()
    compile_libraries(stage / LIBRARIES)
    compile_byte_code(stage, root)
    return [
        Laid(PurePosixPath(path.relative_to(stage)), path, 0o755 if path.stat().st_mode & 0o100 else 0o644)
        for path in sorted(stage.rglob("*"))
        if path.is_file()
    ]


def compile_byte_code(stage: Path, root: Path) -> None:
    """Compiles our Python ahead: the host's root is new at each boot and would compile it each time.

    Runs the root's own interpreter through its own loader, so that nothing needs a chroot.
    """
    libraries = root / "usr/lib/x86_64-linux-gnu"
    (interpreter,) = (root / "usr/bin").glob("python3.[0-9]*[0-9]")
    argv: list[Argument] = [
        libraries / "ld-linux-x86-64.so.2",
        "--library-path",
        libraries,
        interpreter,
        "-I",
        "-S",
        "-m",
        "compileall",
    ]
    options: list[Argument] = [
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        stage,
        "-p",
        "/",
        stage / "usr/lib/soulpad",
    ]
    run([*argv, *options], env={"PYTHONHOME": str(root / "usr")})


def make_squashfs(root_tar: Path, overlay: list[Laid], target: Path, level: int, progress: Progress) -> None:
    """Streams the cleaned root and the overlay through mksquashfs."""
    progress.step("Compressing the host")
    options = [
        "-comp",
        "zstd",
        "-Xcompression-level",
        str(level),
        "-b",
        SQUASHFS_BLOCK,
        "-quiet",
        "-no-progress",
    ]
    argv = ["mksquashfs", "-", str(target), "-tar", *options]
    with tempfile.TemporaryFile() as complaints:
        process = start(argv, stdin=-1, stderr=complaints)
        try:
            assert process.stdin is not None
            merge(root_tar, overlay, process.stdin)
            process.stdin.close()
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        complaints.seek(0)
        if code:
            raise failure(argv, code, complaints.read().decode(errors="replace"))


def prune(name: str) -> None:
    """Keeps the newest images of a recipe."""
    images = sorted(HOSTS.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for image in images[KEPT_HOSTS:]:
        shutil.rmtree(image)
