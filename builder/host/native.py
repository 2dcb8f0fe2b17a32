"""What of the host is C, compiled when an image is built: two small libraries that need no libc of their own, and the
keeper, a static program."""

from __future__ import annotations

from pathlib import Path

from builder.places import HOSTOS
from soulpad.base.run import run

LIBRARIES = {"libsoulpad-nohuge.so": "nohuge.c", "libsoulpad-tsc.so": "tsc.c"}
KEEPER = HOSTOS / "keeper"


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


def keeper_argv(sources: list[Path], target: Path) -> list[str]:
    """gcc's command line for the keeper: nothing of it may have to be read from the stick, a libc neither."""
    flags = ["-static", "-Os", "-s", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    # names that are too long are cut, and then not found
    return ["gcc", *flags, "-Wno-format-truncation", "-Wl,--build-id=none", "-o", str(target), *map(str, sources)]


def compile_keeper(target: Path) -> Path:
    """Compiles the program to ``target``. Raises ProgramFailed or MissingProgram."""
    run(keeper_argv(sorted(KEEPER.glob("*.c")), target))
    return target
