"""Which QEMU plays the PCs.

Without a window it is Debian 13's, from the toolbox: with QEMU 7.2 of Debian 12, guests of the nested virtualisation
were garbled and hosts hung; with QEMU 10 and one processor none was (docs/decisions/0005-emulator.md). A window needs
this machine's desktop libraries, so there its own QEMU is taken.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.debian.toolbox import EMULATOR, Toolbox, toolbox
from builder.pc.machine import Window
from soulpad.base.progress import Progress
from soulpad.base.run import missing_program

QEMU = "qemu-system-x86_64"
_MODULES = "usr/lib/x86_64-linux-gnu/qemu"
_DATA = ("usr/share/qemu", "usr/share/seabios")


@dataclass(frozen=True)
class Emulator:
    """The first words of QEMU's command line, and its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def emulator_for(window: Window, progress: Progress | None = None) -> Emulator:
    """The QEMU for a PC with or without a window; fetched at the first need.

    Raises BadInput and ProgramFailed when it cannot be fetched, MissingProgram without an own QEMU for a window.
    """
    return unpacked_emulator(toolbox(progress, kit=EMULATOR)) if window is Window.NONE else installed_emulator()


def unpacked_emulator(box: Toolbox) -> Emulator:
    """QEMU of a toolbox, told where its firmware and its modules lie."""
    data = (word for folder in _DATA for word in ("-L", str(box.path(folder))))
    return Emulator((*box.argv(QEMU), *data), {"QEMU_MODULE_DIR": str(box.path(_MODULES))})


def installed_emulator() -> Emulator:
    """This machine's QEMU. Raises MissingProgram."""
    if not shutil.which(QEMU):
        raise missing_program(QEMU)
    return Emulator((QEMU,))
