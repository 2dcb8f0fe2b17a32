"""QEMU as a process: started, ended, and what it complained about."""

from __future__ import annotations

from pathlib import Path

from builder.pc.emulator import QEMU, Emulator
from soulpad.base.errors import EmulatedPcFailed
from soulpad.base.run import Process, start

_HINTS = {
    '"write" lock': "another emulated PC or program has it open: close that, or try a copy",
    "is not available": "install the package qemu-system-gui, or run without a window",
    "KVM": "this machine has no KVM: emulate without it",
}


def start_qemu(emulator: Emulator, arguments: list[str], log: Path) -> Process:
    """Starts QEMU so that it ends with this program, even when this program is killed. Raises MissingProgram."""
    with log.open("wb") as complaints:
        argv = ["setpriv", "--pdeathsig", "KILL", *emulator.argv, *arguments]
        return start(argv, stderr=complaints, env=emulator.env)


def end_process(process: Process) -> None:
    """Kills QEMU, if it still runs, and waits for its end."""
    process.kill()
    process.wait()


def last_complaint(log: Path) -> str:
    """QEMU's last complaint in one line. It warns of much that does not matter, and goes on about what does."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    complaints = [line.removeprefix(f"{QEMU}: ") for line in lines if line.startswith(f"{QEMU}: ")]
    return next((line for line in reversed(complaints) if "warning: " not in line), "")


def explained(error: EmulatedPcFailed, complaint: str) -> EmulatedPcFailed:
    """The error of a QEMU that did not start, with what QEMU said and what to do."""
    hint = next((hint for word, hint in _HINTS.items() if word in complaint), "")
    return EmulatedPcFailed(f"{error.message}: {complaint}" if complaint else error.message, hint)
