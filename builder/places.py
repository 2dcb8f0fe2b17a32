"""Where the project's own files, its caches and its products lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOSTOS = ROOT / "hostos"
IMAGES = ROOT / "images"
DOCS = ROOT / "docs"
CACHE = ROOT / ".cache"
BUILD = ROOT / "build"
