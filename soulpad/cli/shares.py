"""Shares as people write them: ``5%``."""

from __future__ import annotations

import argparse


def percent(text: str) -> float:
    """A share from 0 to 1, of a text such as ``50%``. Raises argparse's error."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: write it like 50%")
    return share


def above_zero(text: str) -> float:
    """The same, but not 0."""
    share = percent(text)
    if not share:
        raise argparse.ArgumentTypeError("a share of nothing says nothing: write it like 5%")
    return share
