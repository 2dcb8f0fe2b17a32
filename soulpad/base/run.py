"""The one place that starts outside programs: an argv list, never a shell.

Every call is logged so that it can be pasted. Secrets go in on stdin or by an inherited
descriptor; argv and environment are logged and visible to every user of the machine.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from soulpad.base.errors import MissingProgram, NoSpace, ProgramFailed

log = logging.getLogger("soulpad.run")

Argument = str | os.PathLike[str]
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Result:
    """What a program that ended well said."""

    stdout: str
    stderr: str


def run(
    argv: Sequence[Argument],
    *,
    stdin: bytes | IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
    ok_codes: Iterable[int] = (0,),
    hint: str = "",
) -> Result:
    """Runs a program to its end.

    ``stdin``: bytes to feed (secrets go here) or an open file; nothing otherwise.
    ``env``: added to this process's environment. Raises MissingProgram, NoSpace, or
    ProgramFailed with the program's last line of complaint.
    """
    words = [os.fspath(word) for word in argv]
    log.debug("%s", shlex.join(words))
    fed = stdin if isinstance(stdin, bytes) else None
    try:
        done = subprocess.run(
            words,
            input=fed,
            stdin=None if isinstance(stdin, bytes) else stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(env),
            pass_fds=tuple(pass_fds),
            check=False,
        )
    except FileNotFoundError:
        raise missing_program(words[0]) from None
    complaint = done.stderr.decode(errors="replace")
    if done.returncode not in set(ok_codes):
        raise failure(words, done.returncode, complaint, hint)
    return Result((done.stdout or b"").decode(errors="replace"), complaint)


def start(
    argv: Sequence[Argument],
    *,
    stdin: IO[bytes] | int | None = subprocess.DEVNULL,
    stdout: IO[bytes] | int | None = subprocess.DEVNULL,
    stderr: IO[bytes] | int | None = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
) -> Process:
    """Starts a program that outlives the call; the caller ends it. It gets a process group of its own,
    so that Ctrl-C reaches us first and we end it in order."""
    words = [os.fspath(word) for word in argv]
    log.debug("%s &", shlex.join(words))
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(env),
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    except FileNotFoundError:
        raise missing_program(words[0]) from None


def environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with ``added``. Ordinary users' PATH lacks the folders of cryptsetup and sfdisk."""
    path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, **(added or {})}


def missing_program(name: str) -> MissingProgram:
    """The error for a program that is not there."""
    return MissingProgram(f"{name} is not installed", "see what is missing and how to get it: soulpad doctor")


def failure(words: Sequence[str], code: int, complaint: str, hint: str = "") -> ProgramFailed | NoSpace:
    """The error for a program that ended with ``code``."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    last = lines[-1].rstrip(".") if lines else "it said nothing"
    if "No space left on device" in complaint:
        return NoSpace(f"{Path(words[0]).name}: no space left on the disk", "free some space and run it again")
    return ProgramFailed(f"{Path(words[0]).name} ended with {code}: {last}", hint, code=code, complaint=last)
