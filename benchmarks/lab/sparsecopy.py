"""Copies of disk and memory images that stay sparse."""

from __future__ import annotations

from pathlib import Path

from soulpad.base.run import run


def copy_sparse(source: Path, target: Path) -> None:
    """A copy with blocks of its own; what is zeros becomes holes."""
    run(["cp", "--sparse=always", "--reflink=never", source, target])
