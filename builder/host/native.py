"""The host's two small C libraries, compiled when an image is built (they need no libc of their own)."""

from __future__ import annotations

from pathlib import Path

from builder.places import HOSTOS
from soulpad.base.run import run

LIBRARIES = {"libsoulpad-nohuge.so": "nohuge.c", "libsoulpad-tsc.so": "tsc.c"}


def compile_argv(source: Path, target: Path) -> list[str]:
    """gcc's command line for a shared library without libc."""
    flags = [
        "-shared",
        "-fPIC",
        "-O2",
        "-nostdlib",
        "-fvisibility=hidden",
        "-fno-stack-protector",
        "-Wall",
        "-Werror",
    ]
    return ["gcc", *flags, "-Wl,--build-id=none", "-o", str(target), str(source)]


def compile_libraries(folder: Path) -> dict[str, Path]:
    """Compiles into ``folder``; returns file name -> path. Raises ProgramFailed or MissingProgram."""
    built = {}
    for name, source in LIBRARIES.items():
        built[name] = folder / name
        run(compile_argv(HOSTOS / "native" / source, built[name]))
    return built
