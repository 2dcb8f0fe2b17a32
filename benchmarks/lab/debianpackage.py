"""Fetches one package of the host's Debian release: nothing is installed."""

from __future__ import annotations

from pathlib import Path

from builder.debian.fetch import fetch, unpack


def unpacked_package(name: str, work: Path) -> Path:
    """The folder below ``work`` that holds the files of the package's newest version. Raises ProgramFailed."""
    unpack(fetch([name], work), work / "unpacked")
    return work / "unpacked"
