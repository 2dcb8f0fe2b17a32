"""Files that survive a power cut: write beside, make durable, rename, make the folder durable.

What a crash leaves: either the old file or the new one under the name, never a mixture;
perhaps a stray ``.NAME.partial`` beside it, which the next write replaces.
"""

from __future__ import annotations

import os
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Makes a file's bytes, or a folder's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_durably(staged: Path, path: Path) -> None:
    """Renames ``staged`` (already durable) to ``path`` and makes the name durable."""
    staged.replace(path)  # commit point: before it the old file stands, after it the new one
    fsync_path(path.parent)


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Writes ``content`` under ``path``: afterwards it is on the disk, whole."""
    staged = path.with_name(f".{path.name}.partial")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    replace_durably(staged, path)
