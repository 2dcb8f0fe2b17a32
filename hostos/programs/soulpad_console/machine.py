"""The PC and the kernel: hardening this process, reporting, other programs, power.

The files here are in /proc, /dev and /run. ``os`` instead of pathlib: importing that costs more than the work.
"""
# ruff: noqa: PTH110

from __future__ import annotations

import os
import time

from .options import Options

PR_SET_DUMPABLE = 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
LINUX_REBOOT_CMD_POWER_OFF = 0x4321FEDC
OOM_SCORE_OF_THE_NEEDED = b"-900"


def harden() -> None:
    """What is typed stays in this process: no core dump, no ptrace, no swap. Best effort.

    Pages are locked as they are touched (MCL_ONFAULT): locking all of them would read the whole of Python
    and its libraries from the stick.
    """
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write("/proc/self/oom_score_adj", OOM_SCORE_OF_THE_NEEDED)  # while /proc/self still is ours
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)


def ignore_signals() -> None:
    """A terminal's signals end no prompt. SIGTERM does: at power-off the last words then stay on the screen."""
    import signal

    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def report(options: Options, event: str) -> None:
    """Says when something happened, in seconds since the kernel's start: among the boot's marks, in the kernel's log
    and, when the kernel's command line asks for it (``soulpad.report=ttyS0``), on a serial port."""
    uptime = f"{time.clock_gettime(time.CLOCK_BOOTTIME):.2f}"
    _write(options.marks, f"{event} {uptime}\n".encode(), create=True)
    log(options, f"soulpad: {event} {uptime}")
    port = report_port(_read(options.cmdline))
    if port:
        _write(f"{options.dev}/{port}", f"\r\nSOULPAD {event} {uptime}\r\n".encode())


def report_port(cmdline: str) -> str:
    """The serial device that the kernel's command line names, or nothing."""
    for word in cmdline.split():
        name, _, value = word.partition("=")
        if name == "soulpad.report" and value.isascii() and value.isalnum():
            return value
    return ""


def log(options: Options, line: str) -> None:
    """A line in the kernel's log, at a level that is not printed over the prompt. Never with anything typed."""
    _write(options.kmsg, f"<6>{line}\n".encode())


def describe(error: BaseException) -> str:
    """An unexpected error's kind and place. Not its text, which could quote what was typed."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
    return f"soulpad: console restarted after {type(error).__name__} at {place}"


def spawn(argv: list[str]) -> int:
    """Starts a program with our terminal as its input and nothing to say; its process id. Raises OSError."""
    silence = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_WRONLY, 0) for number in (1, 2)]
    return os.posix_spawn(argv[0], argv, dict(os.environ), file_actions=silence)


def power_off(options: Options) -> None:
    """Through systemd, which suspends a session first; before systemd runs, at once."""
    if os.path.exists(options.systemd_up):
        spawn([options.systemctl, "poweroff"])
        return
    import ctypes

    os.sync()
    ctypes.CDLL(None).reboot(LINUX_REBOOT_CMD_POWER_OFF)


class LayoutLoader:
    """``loadkeys`` while it runs (0.7 s on a slow PC)."""

    LONGEST_SECONDS = 15.0

    def __init__(self, program: str) -> None:
        self._program = program
        self._process = 0
        self.descriptor = -1
        """Becomes readable when loadkeys has ended; -1 when it does not run."""

    def start(self, layout: str) -> bool:
        """False when it could not be started."""
        try:
            self._process = spawn([self._program, "-q", layout])
        except OSError:
            return False
        self.descriptor = os.pidfd_open(self._process)
        self._deadline = time.monotonic() + self.LONGEST_SECONDS
        return True

    def ended(self) -> bool | None:
        """Whether it succeeded, or None while it runs. One that hangs is ended."""
        if time.monotonic() > self._deadline:
            os.kill(self._process, 9)
        done, status = os.waitpid(self._process, os.WNOHANG)
        if not done:
            return None
        os.close(self.descriptor)
        self.descriptor = -1
        return os.waitstatus_to_exitcode(status) == 0


def _write(path: str, content: bytes, create: bool = False) -> None:
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_APPEND | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        return
    try:
        os.write(descriptor, content)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 8192).decode(errors="replace")
    finally:
        os.close(descriptor)
