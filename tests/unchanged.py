"""Runs pytest, unless nothing has changed since the same tests passed: then says what it said in the end.

Called by ``make test``, as ``python -m tests.unchanged [--again] PYTEST-ARGUMENT...``. What counts is every file of the
project that git does not ignore, the arguments, Python and the kernel.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from builder.keys import key_of
from builder.places import CACHE, ROOT

PASSED = CACHE / "stamps" / "tests-passed.json"
AGAIN = "--again"
SAID_OF = ("passed", "skipped", "xfailed", "xpassed", "warnings")


class Closing:
    """A pytest plugin that keeps the numbers of its closing line."""

    line = ""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        counts = {word: len(terminalreporter.getreports(word)) for word in SAID_OF}
        self.line = ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def main(argv: Sequence[str], run: Callable[..., int] = pytest.main) -> int:
    """Returns pytest's exit code."""
    arguments = [word for word in argv if word != AGAIN]
    before = key(ROOT, arguments)
    if AGAIN not in argv and (passed := passed_with(PASSED, before)):
        print(f"nothing has changed since the tests passed, {passed['at']}; all of them again: make test AGAIN=1")
        print(passed["closing"])
        return 0
    closing = Closing()
    code = int(run([*arguments], plugins=[closing]))  # it puts words of its own into the list
    if code == 0 and key(ROOT, arguments) == before:  # else somebody worked on it meanwhile
        said = {"key": before, "closing": closing.line, "at": time.strftime("%Y-%m-%d %H:%M")}
        PASSED.parent.mkdir(parents=True, exist_ok=True)
        PASSED.write_text(json.dumps(said))
    return code


def passed_with(path: Path, wanted: str) -> dict[str, str] | None:
    """What was said when the tests passed with that key, if they did."""
    try:
        said = json.loads(path.read_text())
        return {name: str(said[name]) for name in ("closing", "at")} if said["key"] == wanted else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def key(root: Path, arguments: Sequence[str]) -> str:
    """Changes with all that the tests depend on here."""
    files = sorted(project_files(root))
    names = [str(path.relative_to(root)) for path in files]
    return key_of([*arguments, platform.python_version(), platform.release(), str(os.geteuid()), *names], files)


def project_files(root: Path) -> Iterator[Path]:
    """The files of the project. Ignored are folders, by the names that .gitignore has."""
    lines = (root / ".gitignore").read_text().split()
    top, anywhere = {line for line in lines if line.startswith("/")}, {line for line in lines if line[0] != "/"}
    for folder, folders, names in os.walk(root):
        at = Path(folder)
        folders[:] = [
            name
            for name in folders
            if name != ".git"
            and not any(Path(name).match(line.rstrip("/")) for line in anywhere)
            and not (at == root and f"/{name}/" in top)
        ]
        yield from (at / name for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
