#!/usr/bin/python3
"""Prints the Debian packages of the named groups (all of them without a name), one a line.

Runs before the project's own environment exists: Python 3.11's standard library alone.
"""

import sys
import tomllib
from pathlib import Path

LIST = Path(__file__).with_name("debian-packages.toml")


def packages(groups: set[str]) -> list[str]:
    """The names of the packages in any of ``groups``; KeyError names a group that there is not."""
    entries = tomllib.loads(LIST.read_text())["package"]
    known = {group for entry in entries for group in entry["groups"]}
    for group in groups - known:
        raise KeyError(group)
    return [entry["name"] for entry in entries if groups.intersection(entry["groups"]) or not groups]


def main() -> int:
    try:
        print("\n".join(packages(set(sys.argv[1:]))))
    except KeyError as unknown:
        print(f"list_packages.py: there is no group {unknown} in {LIST.name}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
