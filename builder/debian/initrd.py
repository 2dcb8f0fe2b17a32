"""Small initramfs images: busybox, a few kernel modules, and an init of our own.

The host's finds a stick, the demo guest's its one disk. About 2 MB instead of the 40 MB of a general one: less to load
by the firmware's slow reads, less to unpack. A source folder (hostos/initrd, images/guest-initrd) holds ``init`` and
``modules``, a list of names.
Modules are stored uncompressed and in the order of their dependencies, so that ``insmod`` is all it takes; the
archive as a whole is compressed with zstd, which the kernel unpacks itself (Documentation/filesystems/initramfs).
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path

from soulpad.base.errors import BadInput
from soulpad.base.run import Argument, run

FOLDERS = ("bin", "modules", "proc", "sys", "dev", "run", "root")


def module_name(path: str) -> str:
    """``kernel/drivers/usb/host/xhci-pci.ko.xz`` -> ``xhci_pci``."""
    return Path(path).name.split(".ko")[0].replace("-", "_")


def load_order(wanted: Iterable[str], dependencies: Mapping[str, list[str]], builtin: Iterable[str]) -> list[str]:
    """The module files to load, each after those that it needs.

    ``dependencies``: modules.dep, file -> files, the last to load first. ``builtin``: names that the kernel holds.
    Raises BadInput for a module that this kernel does not have.
    """
    files = {module_name(path): path for path in dependencies}
    held = set(builtin)
    order: list[str] = []
    for name in wanted:
        if name in held:
            continue
        if name not in files:
            raise BadInput(f"the kernel has no module {name!r}", "correct the list of modules of the initramfs")
        for path in [*reversed(dependencies[files[name]]), files[name]]:
            if path not in order:
                order.append(path)
    return order


def parse_dependencies(text: str) -> dict[str, list[str]]:
    """``modules.dep``: one ``file: files it needs`` a line."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): needed.split() for name, needed in pairs}


def wanted_modules(source: Path) -> list[str]:
    """The names in the source folder's ``modules``."""
    lines = (source / "modules").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def make_initrd(
    source: Path, modules_folder: Path, busybox: Path, scratch: Path, target: Path, *more_programs: Path
) -> None:
    """Writes the initramfs. ``modules_folder``: /usr/lib/modules/VERSION of the root that it will start.
    ``busybox`` and ``more_programs`` are static."""
    tree = scratch / "initrd"
    for folder in FOLDERS:
        (tree / folder).mkdir(parents=True)
    dependencies = parse_dependencies((modules_folder / "modules.dep").read_text())
    builtin = map(module_name, (modules_folder / "modules.builtin").read_text().split())
    order = load_order(wanted_modules(source), dependencies, builtin)
    for path in order:
        (tree / "modules" / f"{module_name(path)}.ko").write_bytes(uncompressed(modules_folder / path))
    (tree / "modules" / "order").write_text("".join(f"{module_name(path)}\n" for path in order))
    for program in (busybox, *more_programs):
        (tree / "bin" / program.name).write_bytes(program.read_bytes())
        (tree / "bin" / program.name).chmod(0o755)
    (tree / "init").write_bytes((source / "init").read_bytes())
    (tree / "init").chmod(0o755)
    (tree / "bin" / "sh").symlink_to("busybox")
    pack(tree, target)


def pack(tree: Path, target: Path) -> None:
    """Packs a folder as a zstd-compressed newc archive, owned by root, the same bytes for the same contents."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = target.with_suffix(".cpio")
    argv: list[Argument] = [
        "cpio",
        "--quiet",
        "--create",
        "--format=newc",
        "--owner=0:0",
        "--reproducible",
        "-F",
        archive,
    ]
    run(argv, stdin="\n".join(names).encode(), cwd=tree)
    run(["zstd", "-q", "-19", "-f", "--rm", archive, "-o", target])


def uncompressed(path: Path) -> bytes:
    """A module's bytes; Debian ships them xz-compressed."""
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
