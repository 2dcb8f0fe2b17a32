"""Keys of cached products: a hash of everything that goes into one, so that unchanged means untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

KEY_DIGITS = 16


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without Python's byte code."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def key_of(words: Iterable[str], files: Iterable[Path]) -> str:
    """A hex key over words (settings, other keys) and files (relative order given; name, mode bits, content)."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(b"w" + word.encode() + b"\0")
    for path in files:
        executable = path.stat().st_mode & 0o111 != 0
        digest.update(f"f{path.name}\0{executable}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:KEY_DIGITS]
