"""Those who back up: SoulPad and its peers, each as its own manual recommends it for disk images, all in packs of zstd.

restic 0.18 (Debian 13's): compression "auto". borg 1.2: encrypted, ``zstd,3``; once as it cuts by default and once in
fixed pieces of 4 MiB, which its manual names for disk images. casync: 64 KiB, zstd; it has no encryption.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.debian.toolbox import Kit, toolbox
from builder.places import ROOT
from soulpad.base.progress import Progress
from soulpad.base.run import run

RESTIC = Kit("Debian 13's restic", ("restic", "libc6"), (("restic", "usr/bin/restic"),))
Words = list[str]


@dataclass(frozen=True)
class Side:
    """One who backs up. ``begin``: makes the repository. ``save``: the command for a version in ``current``, of a
    number; ``before``: the folder of the version before."""

    name: str
    version: str
    repository: Path
    begin: Words
    save: Callable[[int, Path, Path | None], Words]
    env: Mapping[str, str] = field(default_factory=dict)

    def measured(self, number: int, current: Path, before: Path | None, scratch: Path) -> dict[str, Any]:
        """Backs the version up; what it took."""
        held, out = stored_bytes(self.repository), scratch / "metered.json"
        words = [sys.executable, "-m", "benchmarks.lab.metered", str(out), *self.save(number, current, before)]
        run(words, env={"PYTHONPATH": str(ROOT), **self.env}, cwd=ROOT)
        figures = json.loads(out.read_text())
        return {**figures, "stored_bytes": stored_bytes(self.repository) - held}


def stored_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


def sides(scratch: Path, progress: Progress) -> list[Side]:
    """All of them, with empty repositories below ``scratch``."""
    return [ours(scratch), restic(scratch, progress), *borgs(scratch), casync(scratch)]


def ours(scratch: Path) -> Side:
    key, pages, repository = scratch / "key", scratch / "pages", scratch / "ours"
    key.write_bytes(bytes(range(32)))
    pages.mkdir()
    common = [sys.executable, "-m", "benchmarks.lab.checkin_ours", str(repository), str(key), str(pages)]

    def save(number: int, current: Path, before: Path | None) -> Words:
        return [*common, str(current), *([str(before)] if before else [])]

    return Side("ours", "", repository, ["true"], save)


def restic(scratch: Path, progress: Progress) -> Side:
    (scratch / "password").write_text("benchmark\n")
    program = toolbox(progress, kit=RESTIC).argv("restic")
    repository = scratch / "restic"
    common = ["-q", "-r", str(repository), "-p", str(scratch / "password"), "--cache-dir", str(scratch / "cache")]
    begin = [*program, *common, "init"]
    version = run([*program, "version"]).stdout.split()[1]
    return Side("restic", version, repository, begin, lambda *at: [*program, *common, "backup", str(at[1])])


def borgs(scratch: Path) -> list[Side]:
    version = run(["borg", "--version"]).stdout.split()[1]
    cuts = {"borg": [], "borg_fixed": ["--chunker-params", "fixed,4194304"]}
    return [borg(scratch / name, name, version, cut) for name, cut in cuts.items()]


def borg(folder: Path, name: str, version: str, cut: Sequence[str]) -> Side:
    repository = folder / "repository"
    folder.mkdir()
    env = {
        "BORG_BASE_DIR": str(folder / "base"),
        "BORG_PASSCOMMAND": "echo benchmark",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }

    def save(number: int, current: Path, before: Path | None) -> Words:
        return ["borg", "create", "--compression", "zstd,3", *cut, f"{repository}::{number}", str(current)]

    return Side(name, version, repository, ["borg", "init", "-e", "repokey-blake2", str(repository)], save, env)


def casync(scratch: Path) -> Side:
    store = scratch / "casync"

    def save(number: int, current: Path, before: Path | None) -> Words:
        # one file at a time: it takes an image, or a folder as an archive that it cuts otherwise
        make = ["casync", "make", "--what=blob-index", "--compression=zstd", f"--store={store / 'chunks.castr'}"]
        lines = [f'{" ".join(make)} "$2/{path.name}-$1.caibx" "$3/{path.name}"' for path in sorted(current.iterdir())]
        return ["sh", "-ec", "\n".join(lines), "sh", str(number), str(store), str(current)]

    return Side("casync", run(["casync", "--version"]).stdout.split()[1], store, ["mkdir", str(store)], save)
