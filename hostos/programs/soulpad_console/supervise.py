"""The console's main: draws the prompt as soon as it can, and never leaves the screen without it."""

from __future__ import annotations

import os
import time

from . import machine
from .layouts import Keyboard
from .loop import Console
from .model import Model
from .options import parse

RESTART_SECONDS = 1.0


def main(words: list[str]) -> None:
    """Runs until the PC is switched off. An unexpected error starts the screen anew."""
    options, unknown = parse(words)
    os.chdir("/")
    terminal = _terminal_name()
    _silence_standard_error()
    console = Console(options, Model(Keyboard(options.keyboard)))
    if unknown:
        machine.log(options, f"soulpad: the console knows no {' '.join(unknown)}")
    said = ""
    while True:
        try:
            console.run()
        except Exception as error:  # whatever it is, the person needs a prompt and not a stack trace
            line = machine.describe(error)
            if line != said:
                machine.log(options, line)
            said = line
        _reopen(terminal)
        console = console.anew()
        time.sleep(RESTART_SECONDS)


def _terminal_name() -> str:
    try:
        return os.ttyname(0)
    except OSError:
        return "/dev/tty1"


def _silence_standard_error() -> None:
    """Nothing below us (Python, curses, loadkeys) may write over the prompt."""
    nowhere = os.open("/dev/null", os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _reopen(terminal: str) -> None:
    """What is hung up (vhangup(2)) stays dead for those who have it open."""
    try:
        descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return  # tried again after the pause
    os.dup2(descriptor, 0)
    os.dup2(descriptor, 1)
    if descriptor > 1:
        os.close(descriptor)
