"""Modules of the session, loaded on this machine: what they import of the stick's host alone has stand-ins here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from typing import Any

HOST_ONLY = ("libvirt", "libvirt_qemu", "pyudev")


def load(name: str) -> Any:
    """The module of that name, on stand-ins."""
    stand_in()
    return importlib.import_module(name)


def stand_in() -> None:
    """Takes the place of what is not here, for the whole run.

    Nothing is taken back: a module that is loaded a second time is another one than the one that a test patches
    through its neighbours.
    """
    for name in HOST_ONLY:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = importlib.util.module_from_spec(ModuleSpec(name, None))
