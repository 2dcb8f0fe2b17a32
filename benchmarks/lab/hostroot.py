"""The stick's host as a folder: QEMU, libvirt and Python are then exactly those of the product."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from benchmarks.lab.debianpackage import unpacked_package
from builder.debian.dib import build_root
from builder.host.image import LIBRARIES, PYTHON_HOME
from builder.host.recipe import read_host_recipe
from builder.oneatatime import one_at_a_time
from builder.places import CACHE, IMAGES
from soulpad.base.progress import Progress
from soulpad.base.run import run

LAB = CACHE / "lab"
ROOTS = LAB / "roots"
# Where our own files are bound over the root when it is entered.
MOUNT_POINTS = (PYTHON_HOME / "soulpad", PYTHON_HOME / "benchmarks", LIBRARIES)

# What libvirt's own save images go through. The product makes none, so the host is without it.
HELPER_PACKAGE = "libvirt-daemon-common"
HELPER = PurePosixPath("usr/lib/libvirt/libvirt_iohelper")
# How the unpacked root differs from the archive: a change here must change the names in the cache.
_UNPACKING = "1"


def unpacked_host(progress: Progress, recipe_path: Path = IMAGES / "host.toml") -> Path:
    """The host's root, unpacked when it is not in the cache; needs root. Older ones are removed."""
    recipe = read_host_recipe(recipe_path)
    archive = build_root(recipe.name, recipe.all_elements, {}, progress)
    root = ROOTS / f"{archive.stem}-{_UNPACKING}"
    if root.exists():
        return root
    ROOTS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as cleanup:
        cleanup.enter_context(one_at_a_time(ROOTS, progress, "unpacking of a host"))
        if not root.exists():
            progress.step("unpacking the host's root")
            scratch = cleanup.enter_context(tempfile.TemporaryDirectory(prefix=".partial-", dir=ROOTS))
            made = Path(scratch) / "root"
            unpack(archive, made, MOUNT_POINTS)
            progress.step("fetching libvirt's helper for save images")
            add_helper(made, Path(scratch) / "package")
            made.replace(root)  # commit point: a root under its key is whole
            prune(root)
    return root


def unpack(archive: Path, target: Path, mount_points: tuple[PurePosixPath, ...]) -> None:
    """Unpacks a root and makes the folders that something will be mounted on."""
    target.mkdir()
    run(["tar", "--numeric-owner", "-xpC", target, "-f", archive])
    for point in mount_points:
        (target / point).mkdir(parents=True, exist_ok=True)


def add_helper(root: Path, work: Path) -> None:
    """Gives the root libvirt's helper for save images."""
    helper = unpacked_package(HELPER_PACKAGE, work) / HELPER
    (root / HELPER).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(helper, root / HELPER)


def prune(current: Path) -> None:
    """Keeps one unpacked root: it is large, and soon made again."""
    for root in ROOTS.iterdir():
        if root != current and not root.name.startswith("."):
            shutil.rmtree(root)
