"""Fetches one package of the host's Debian release, as the toolbox fetches its own: nothing is installed."""

from __future__ import annotations

from pathlib import Path

from builder.debian.mirror import this_machines_mirror
from builder.debian.toolbox import apt_settings, sources
from soulpad.base.run import run

HINT = "check this machine's network and its apt settings: apt-get update"


def unpacked_package(name: str, work: Path) -> Path:
    """The folder below ``work`` that holds the files of the package's newest version. Raises ProgramFailed."""
    fetched, unpacked = work / "fetched", work / "unpacked"
    for folder in (fetched, unpacked, work / "state/lists/partial", work / "cache/archives/partial"):
        folder.mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(sources(this_machines_mirror()))
    settings = work / "apt.conf"
    settings.write_text(apt_settings(work))
    apt = ["apt-get", "--config-file", str(settings), "--quiet"]
    run([*apt, "update"], hint=HINT)
    run([*apt, "download", name], cwd=fetched, hint=HINT)
    (package,) = fetched.glob("*.deb")
    run(["dpkg-deb", "-x", package, unpacked])
    return unpacked
