"""The series as a store has it: each version a reflink of the one before, with the blocks that differ written anew."""

from __future__ import annotations

from pathlib import Path

from soulpad.base.reflink import clone
from soulpad.base.units import KIB, MIB

BLOCK_BYTES = 4 * KIB


def lay(series: Path, versions: list[dict[str, str]], store: Path) -> list[Path]:
    """A folder below ``store`` for each version: its files' names -> the series' files. Raises OSError."""
    folders: list[Path] = []
    for number, files in enumerate(versions):
        folder = store / f"version-{number}"
        folder.mkdir()
        for name, source in files.items():
            if folders:
                clone(folders[-1] / name, folder / name)
            write_differences(series / source, folder / name)
        folders.append(folder)
    return folders


def write_differences(source: Path, target: Path) -> None:
    """Makes ``target`` what ``source`` is; only blocks that differ are written."""
    target.touch()
    with source.open("rb") as new, target.open("r+b") as file:
        file.truncate(source.stat().st_size)
        position = 0
        while content := new.read(MIB):
            file.seek(position)
            old = file.read(len(content))
            for start in range(0, len(content) if content != old else 0, BLOCK_BYTES):
                block = content[start : start + BLOCK_BYTES]
                if block != old[start : start + BLOCK_BYTES]:
                    file.seek(position + start)
                    file.write(block)
            position += len(content)
