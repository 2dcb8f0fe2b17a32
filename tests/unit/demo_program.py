"""The demo guest's program, loaded from where its image takes it."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from builder.places import IMAGES

PROGRAM = IMAGES / "elements/demo-guest/static/usr/lib/demo-soul"


def module(name: str) -> Any:
    """A module of the program, without leaving bytecode beside it: all below PROGRAM goes into the image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(str(PROGRAM))
        return importlib.import_module(f"demo_soul.{name}")
