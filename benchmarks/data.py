"""Makes the series of images that the benchmark of backups runs on: a Debian's disk as it ages, a guest's memory.

Kept below .cache/bench-data by what the recipes say; what is there already is not made again. Needs root and Debian's
mirrors.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the project's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lab import series_memory
from benchmarks.lab.program import Figures, require_root, run_benchmark
from benchmarks.lab.series_disks import RECIPES, RELEASE, DiskRecipe, make_first, make_next
from builder.debian.chroot_scratch import scratch_folder
from builder.debian.mirror import this_machines_mirror
from builder.places import CACHE
from soulpad.base.progress import Progress
from soulpad.base.units import GIB

DATA = CACHE / "bench-data"
DISKS = ("disk-1.img", "disk-2.img", "disk-3.img")
MEMORIES = tuple(f"ram-{number}.img" for number in range(1, 5))
MEMORY_DISKS = tuple(f"ram-disk-{number}.img" for number in range(1, 5))
BASE = ("linux-image-amd64", "systemd-sysv", "dbus", "openssl", "git", "gcc", "libc6-dev", "python3", "sqlite3", "perl")
WORK = (
    *("openssh-server", "vim", "build-essential", "python3-pip", "python3-numpy", "postgresql", "nginx-light"),
    *("firefox-esr", "default-jdk-headless", "xfce4-session", "xfwm4", "xfce4-panel", "texlive-latex-base"),
    *("libreoffice-writer-nogui", "fonts-noto-core"),
)


@dataclass(frozen=True)
class Recipe:
    """A whole series."""

    disk: DiskRecipe
    memory_mib: int = 512

    @property
    def key(self) -> str:
        """Changes with all that goes in, save Debian's own progress."""
        words = [RELEASE, repr(asdict(self)), series_memory.FIRST_WORK, series_memory.SECOND_WORK]
        words += [path.read_text() for path in sorted(RECIPES.glob("*.sh"))]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


FULL = Recipe(
    DiskRecipe(6 * GIB, "important", (*BASE, *WORK), ("emacs-nox", "golang-go", "php-cli", "nodejs"), ("vim",))
)
QUICK = Recipe(DiskRecipe(3 * GIB, "minbase", (*BASE, "python3-numpy", "vim"), ("emacs-nox", "nodejs"), ("vim",)))


def series(recipe: Recipe, progress: Progress) -> Path:
    """The folder of the series, made if it is not there. Broken off, the next run goes on after the last whole file."""
    folder = DATA / recipe.key
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as cleanup:
        cleanup.callback(progress.step, f"series {folder}")
        if not all((folder / name).exists() for name in (*DISKS, *MEMORIES)):
            require_root()
        make_disks(recipe.disk, folder, progress)
        if not all((folder / name).exists() for name in (*MEMORIES, *MEMORY_DISKS)):
            with scratch_folder(DATA, "memory") as scratch:
                series_memory.make_series(folder, scratch, recipe.memory_mib, progress)
                for name in (*MEMORIES, *MEMORY_DISKS):
                    (scratch / name).replace(folder / name)
    return folder


def make_disks(recipe: DiskRecipe, folder: Path, progress: Progress) -> None:
    """Those that are not there."""
    words = {"EXTRA": " ".join(recipe.extra), "GOES": " ".join(recipe.goes)}
    for number, name in enumerate(DISKS):
        if (folder / name).exists():
            continue
        progress.step(f"disk {number + 1} of {len(DISKS)}")
        with scratch_folder(DATA, "disk") as scratch:
            made = scratch / name
            if number == 0:
                make_first(recipe, this_machines_mirror(), scratch, made)
                for kind in ("vmlinuz", "initrd.img"):
                    (scratch / kind).replace(folder / kind)
            else:
                make_next(folder / DISKS[number - 1], made, ("upgrade.sh", "light-day.sh")[number - 1], words, scratch)
            made.replace(folder / name)  # commit point


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    result.add_argument("--quick", action="store_true", help="a small Debian: minutes instead of half an hour")
    result.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return result


def made(arguments: argparse.Namespace, progress: Progress) -> Figures:
    """What the command line asks for."""
    folder = series(QUICK if arguments.quick else FULL, progress)
    names = (*DISKS, *MEMORIES)
    return {"folder": str(folder), "bytes": {name: (folder / name).stat().st_blocks * 512 for name in names}}


def main(argv: Sequence[str]) -> int:
    """Returns the exit code (docs/exit-codes.md)."""
    return run_benchmark(parser().parse_args(argv), made, lambda report: print(report["folder"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
