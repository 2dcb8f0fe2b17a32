"""Sizes and times as people write them, and back."""

from __future__ import annotations

import re

from soulpad.base.errors import BadInput

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
SECTOR_BYTES = 512

_MOST_DIGITS = 20
_MOST_MINUTES = 7 * 24 * 60
_FACTORS = {
    "": 1, "B": 1,
    "K": KIB, "KIB": KIB, "KB": 10**3,
    "M": MIB, "MIB": MIB, "MB": 10**6,
    "G": GIB, "GIB": GIB, "GB": 10**9,
    "T": 1 << 40, "TIB": 1 << 40, "TB": 10**12,
}  # fmt: skip


def parse_bytes(text: str) -> int:
    """Bytes of a size such as ``8GiB``, ``512M`` or ``16GB``; raises BadInput."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if not match or match[2].upper() not in _FACTORS:
        raise BadInput(f"{text!r} is not a size", "write it like 8GiB, 512MiB or 16GB")
    if len(match[1]) > _MOST_DIGITS:
        raise BadInput(f"{text[:20]}... is too large for a size", "write it like 8GiB, 512MiB or 16GB")
    return int(float(match[1]) * _FACTORS[match[2].upper()])


def parse_minutes(text: str) -> int:
    """Whole minutes of a time such as ``30min`` or ``2h``, from a minute to a week; raises BadInput."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*(min|h)\s*", text)
    minutes = int(match[1]) * (60 if match[2] == "h" else 1) if match else 0
    if not 1 <= minutes <= _MOST_MINUTES:
        raise BadInput(f"{text[:20]!r} is not a time", "write it like 30min or 2h, at most 168h")
    return minutes


def format_bytes(count: int) -> str:
    """``count`` bytes with a binary unit and three significant digits."""
    if count < KIB:
        return f"{count} bytes"
    value, unit = count / KIB, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if round(value) < KIB:
            break
        value, unit = value / KIB, larger
    # "g" would write a rounded 1000 as 1e+03
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"


def round_up(count: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is not below ``count``."""
    return -(-count // multiple) * multiple
