"""Builds Debian root file systems with diskimage-builder, and keeps them by what went into them.

A root is a tar below ``.cache/roots``; its name holds a hash of everything that decides its content, so that
an unchanged one is there at once. Needs root to build (it works in a chroot), not to find one in the cache.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from builder.debian.chroot_scratch import end_processes_rooted_below, scratch_folder
from builder.debian.mirror import DebianMirror, this_machines_mirror
from builder.debian.tidy_tar import clean_tar
from builder.oneatatime import one_at_a_time
from builder.places import BUILD, CACHE, HOSTOS, IMAGES
from soulpad.base.errors import BadInput, ProgramFailed
from soulpad.base.progress import Progress
from soulpad.base.run import Process, start

RELEASE = "trixie"
ELEMENT_FOLDERS = (HOSTOS / "elements", IMAGES / "elements")
ROOTS = CACHE / "roots"
LOGS = BUILD / "logs"
_DIB = CACHE / "dib"
_KEPT = 2
# How the cleaned tar differs from dib's own: a change of builder/debian/tidy_tar.py must change the keys.
_CLEANING = "1"

# What dib's log says when a phase begins, and what that means to a person.
_PHASES = {
    "Running hooks from": "preparing the Debian root",
    "Running /tmp/in_target.d/pre-install.d/": "preparing the packages",
    "Running /tmp/in_target.d/install.d/": "installing packages",
    "Running /tmp/in_target.d/post-install.d/": "configuring packages",
    "Calculating image size": "packing the Debian root",
}
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \| ")
_COMPLAINT = re.compile(r"^E:|\berror\b|\bfailed\b|cannot|unable to|not found|no space left|fatal", re.IGNORECASE)


def build_root(name: str, elements: Sequence[str], settings: Mapping[str, str], progress: Progress) -> Path:
    """The tar of the root that ``elements`` make, built when it is not in the cache.

    ``settings`` are diskimage-builder's environment (``DIB_...``). The tar holds no device nodes, name
    servers, apt sources or package lists of this machine; /dev, /proc, /run, /sys and /tmp are in it, empty.
    Raises BadInput when it must be built and we are not root, ProgramFailed when diskimage-builder fails.
    After an error or Ctrl-C only the log and the cache of packages stay: no mount, no half-made tar.
    """
    root = ROOTS / f"{name}-{root_key(elements, settings)}.tar"
    if root.exists():
        with suppress(PermissionError):  # another user built it
            os.utime(root)  # the newest are kept: used counts as new
        return root
    if os.geteuid() != 0:
        raise BadInput(f"building the Debian root {name!r} needs root (a chroot)", "run it again with sudo")
    for folder in (ROOTS, LOGS, _DIB):
        _make_folder(folder)
    with ExitStack() as cleanup:
        # Builds share a cache of packages, which apt does not share.
        cleanup.enter_context(one_at_a_time(_DIB, progress, "build of a Debian root"))
        if not root.exists():
            scratch = cleanup.enter_context(scratch_folder(_DIB, name))
            environment = dib_environment(scratch, settings, this_machines_mirror())
            _build(name, elements, environment, scratch, progress)
            progress.step("cleaning the Debian root")
            clean_tar(scratch / "root.tar", scratch / "clean.tar", progress)
            (scratch / "clean.tar").replace(root)  # commit point
    prune(ROOTS, name, "tar")
    return root


def root_key(elements: Sequence[str], settings: Mapping[str, str]) -> str:
    """16 hex digits that change with anything that decides a root's content, save Debian's own progress."""
    version = importlib.metadata.version("diskimage-builder")
    digest = hashlib.sha256()
    for word in (
        RELEASE,
        version,
        _CLEANING,
        *elements,
        *(f"{key}={settings[key]}" for key in sorted(settings)),
    ):
        digest.update(word.encode() + b"\0")
    for folder in local_elements(elements, ELEMENT_FOLDERS):
        for path in sorted(folder.rglob("*")):
            if "__pycache__" not in path.parts and (path.is_symlink() or path.is_file()):
                digest.update(_fingerprint(path, folder))
    return digest.hexdigest()[:16]


def local_elements(elements: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """The folders of those of ``elements``, and of what they depend on, that are ours. Others are part of
    diskimage-builder and covered by its version."""
    found: dict[str, Path] = {}
    waiting = list(elements)
    while waiting:
        name = waiting.pop()
        folder = next((parent / name for parent in folders if (parent / name).is_dir()), None)
        if folder and name not in found:
            found[name] = folder
            deps = folder / "element-deps"
            waiting += deps.read_text().split() if deps.exists() else []
    return [found[name] for name in sorted(found)]


def dib_environment(scratch: Path, settings: Mapping[str, str], mirror: DebianMirror) -> dict[str, str]:
    """What disk-image-create reads from its environment."""
    return {
        "DIB_RELEASE": RELEASE,
        "DIB_DISTRIBUTION_MIRROR": mirror.main,
        "DIB_DEBIAN_SECURITY_MIRROR": mirror.security,
        "DIB_APT_MINIMAL_CREATE_INTERFACES": "0",
        "DIB_NO_TMPFS": "1",
        "DIB_DISABLE_APT_CLEANUP": "1",  # else it empties the package cache that it has bound into the root
        "DIB_IMAGE_CACHE": str(_DIB / "packages"),
        "DIB_LOCKFILES": str(_DIB / "locks"),
        "TMP_DIR": str(scratch),
        "TMPDIR": str(scratch),
        "ELEMENTS_PATH": os.pathsep.join(map(str, ELEMENT_FOLDERS)),
        "PATH": os.pathsep.join([f"{sys.prefix}/bin", os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
        **settings,
    }


def last_complaint(log: str) -> str:
    """The line of dib's log that says what went wrong; its cleaning up comes after it."""
    lines = [_STAMP.sub("", line).strip() for line in log.splitlines()]
    told = [line for line in lines if line]
    return next((line for line in reversed(told) if _COMPLAINT.search(line)), told[-1] if told else "it said nothing")


def _build(name: str, elements: Sequence[str], settings: Mapping[str, str], scratch: Path, progress: Progress) -> None:
    program = Path(sys.prefix) / "bin" / "disk-image-create"
    argv: list[str | Path] = [program, "-n", "-a", "amd64", "-t", "tar", "-o", scratch / "root", *elements]
    log = LOGS / f"dib-{name}.log"
    progress.step(f"building the Debian root {name} (log: {log})")
    with log.open("wb") as file, ExitStack() as cleanup:
        process = start(argv, stdout=file, stderr=file, env=dib_environment(scratch, settings, this_machines_mirror()))
        cleanup.callback(_end, process, scratch)
        _follow(process, log, progress)
    if process.returncode != 0:
        complaint = last_complaint(log.read_text(errors="replace"))
        raise ProgramFailed(f"disk-image-create ended with {process.returncode}: {complaint}", f"the whole log: {log}")


def _follow(process: Process, log: Path, progress: Progress) -> None:
    """Waits for the end and tells the phases that the log shows."""
    phase = ""
    with log.open(errors="replace") as lines:
        while True:
            ended = process.poll() is not None
            for line in lines.read().splitlines():
                now = next((text for sign, text in _PHASES.items() if sign in line), phase)
                if now != phase:
                    progress.step(phase := now)
            if ended:
                return
            time.sleep(0.5)


def _end(process: Process, scratch: Path) -> None:
    """Ends a dib that still runs, so that its own traps can clean up; what they leave is ours (chroot_scratch).

    A shell acts on a signal when the program it waits for has ended, and apt shields dpkg from ours: what runs in
    the chroot, which is thrown away, is killed. Only then the whole group, with the filter that takes dib's output.
    """
    steps = ((os.kill, signal.SIGTERM, 5), (os.killpg, signal.SIGTERM, 20), (os.killpg, signal.SIGKILL, 10))
    for send, number, patience_seconds in steps:
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            send(process.pid, number)
        deadline = time.monotonic() + patience_seconds
        while process.poll() is None and time.monotonic() < deadline:
            end_processes_rooted_below(scratch)
            time.sleep(0.1)


def _make_folder(folder: Path) -> None:
    """Makes a folder that belongs to the user who said sudo: later steps need no root and write beside it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        os.chown(path, int(os.environ.get("SUDO_UID", -1)), int(os.environ.get("SUDO_GID", -1)))


def _fingerprint(path: Path, folder: Path) -> bytes:
    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    executable = path.stat().st_mode & 0o111 if not path.is_symlink() else 0
    named = f"{folder.name}/{path.relative_to(folder)}:{bool(executable)}:{path.is_symlink()}:".encode()
    return hashlib.sha256(named + content).digest()


def prune(folder: Path, name: str, suffix: str) -> None:
    """Removes the older of ``NAME-KEY.SUFFIX`` below ``folder``: two are kept, the last used."""
    named = re.compile(rf"{re.escape(name)}-[0-9a-f]{{16}}\.{suffix}")
    paths = [path for path in folder.iterdir() if named.fullmatch(path.name)]
    for old in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        old.unlink()
