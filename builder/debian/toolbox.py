"""Programs and boot files of Debian 13 that this machine's Debian lacks or has too old, unpacked below the cache.

``xfs_*``: the store's file system is made and checked by the programs of the host's own release. GRUB and shim: the
signed boot loaders, and the BIOS modules together with the ``grub-mkimage`` they were built with. Nothing is
installed: packages are fetched by apt with a state of its own (signatures checked against the Debian archive
keyring), unpacked with dpkg-deb, and run through their own dynamic loader. No root is needed.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.debian.mirror import DebianMirror, this_machines_mirror
from builder.places import CACHE
from soulpad.base.errors import MissingProgram
from soulpad.base.progress import Progress, Silent
from soulpad.base.run import Argument, run

RELEASE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PACKAGES = (
    "xfsprogs", "libinih1", "liburcu8t64", "libuuid1", "libblkid1", "libedit2", "libbsd0", "libmd0", "libtinfo6",
    "grub-common", "libdevmapper1.02.1", "liblzma5", "libselinux1", "libpcre2-8-0", "libudev1", "libcap2", "libc6",
    "grub-pc-bin", "grub-efi-amd64-signed", "shim-signed", "shim-helpers-amd64-signed",
)  # fmt: skip

# Where each program lies in its package. All need no more libraries than PACKAGES holds (a component test).
PROGRAMS = {
    "mkfs.xfs": "usr/sbin/mkfs.xfs",
    "xfs_db": "usr/sbin/xfs_db",
    "xfs_io": "usr/sbin/xfs_io",
    "xfs_repair": "usr/sbin/xfs_repair",
    "grub-mkimage": "usr/bin/grub-mkimage",
    "grub-script-check": "usr/bin/grub-script-check",
}

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = f"{_LIBRARIES}/ld-linux-x86-64.so.2"
_LAUNCHERS = "launchers"

SHIM = "usr/lib/shim/shimx64.efi.signed"
MOK_MANAGER = "usr/lib/shim/mmx64.efi.signed"
SIGNED_GRUB = "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"
BIOS_GRUB = "usr/lib/grub/i386-pc"


@dataclass(frozen=True)
class Toolbox:
    """An unpacked toolbox below ``root``."""

    root: Path

    def argv(self, program: str, *arguments: Argument) -> list[str]:
        """The command that runs one of PROGRAMS with the toolbox's own libraries. Raises MissingProgram."""
        if program not in PROGRAMS:
            raise MissingProgram(f"{program} is not in the toolbox", f"it has: {', '.join(PROGRAMS)}")
        # A launcher is the dynamic loader under the program's name, so that errors name the program (ld.so(8)).
        launcher = self.root / _LAUNCHERS / program
        binary = self.path(PROGRAMS[program])
        words = [launcher, "--library-path", self.path(_LIBRARIES), "--argv0", program, binary, *arguments]
        return [str(word) for word in words]

    def path(self, name: str) -> Path:
        """A file of the unpacked packages, for example ``toolbox.SHIM``. Raises MissingProgram."""
        path = self.root / name
        if not path.exists():
            raise MissingProgram(f"{name} is not in the toolbox", f"remove {self.root} and run it again")
        return path

    @property
    def grub_modules(self) -> Path:
        """The folder with GRUB's images and modules for BIOS PCs (``i386-pc``)."""
        return self.path(BIOS_GRUB)


def toolbox(progress: Progress | None = None, folder: Path = CACHE / "toolbox") -> Toolbox:
    """The toolbox, fetched (about 15 MB) when ``folder`` does not hold this very list of packages yet.

    Raises BadInput without a Debian mirror and ProgramFailed when the download fails; ``folder`` is then as before.
    """
    root = folder / _key()
    if not root.exists():
        (progress or Silent()).step("Fetching Debian 13's boot loaders and XFS programs")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as work:
            _make(Path(work), this_machines_mirror(), root)
    return Toolbox(root)


def _key() -> str:
    contents = "\n".join((RELEASE, *PACKAGES, *PROGRAMS))
    return f"{RELEASE}-{hashlib.sha256(contents.encode()).hexdigest()[:12]}"


def _make(work: Path, mirror: DebianMirror, root: Path) -> None:
    packages = _download(work, mirror)
    unpacked = work / "root"
    unpacked.mkdir(mode=0o755)
    for package in packages:
        run(["dpkg-deb", "-x", package, unpacked])
    _make_launchers(unpacked)
    (unpacked / "packages.txt").write_text("".join(f"{package.name}\n" for package in packages))
    with _lost_race_is_fine(root):
        unpacked.rename(root)  # commit point: before it there is no toolbox, after it a whole one


@contextmanager
def _lost_race_is_fine(root: Path) -> Iterator[None]:
    """Two builds may fetch at once; the second finds the first's toolbox in place and uses that."""
    try:
        yield
    except OSError:
        if not root.exists():
            raise


def _make_launchers(unpacked: Path) -> None:
    launchers = unpacked / _LAUNCHERS
    launchers.mkdir()
    for program in PROGRAMS:
        (launchers / program).symlink_to(Path("..") / _LOADER)


def _download(work: Path, mirror: DebianMirror) -> list[Path]:
    """Fetches the newest version of every package; returns the ``.deb`` files, sorted."""
    debs = work / "debs"
    for folder in (debs, work / "state/lists/partial", work / "cache/archives/partial"):
        folder.mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(sources(mirror))
    settings = work / "apt.conf"
    settings.write_text(apt_settings(work))
    apt = ["apt-get", "--config-file", str(settings), "--quiet"]
    hint = "check this machine's network and its apt settings: apt-get update"
    run([*apt, "update"], hint=hint)
    run([*apt, "download", *PACKAGES], cwd=debs, hint=hint)
    return sorted(debs.glob("*.deb"))


def sources(mirror: DebianMirror) -> str:
    """The apt sources of the toolbox: its release from the machine's own mirrors."""
    signed = f"[arch=amd64 signed-by={KEYRING}]"
    return f"deb {signed} {mirror.main} {RELEASE} main\ndeb {signed} {mirror.security} {RELEASE}-security main\n"


def apt_settings(work: Path) -> str:
    """apt.conf(5) that keeps apt's state below ``work``. Proxies and the like stay as the machine has them.

    The machine's hooks after an update are cleared: they speak of its own packages and may need root. The sandbox
    user is root because apt's ``_apt`` may not enter private folders; without root the setting means nothing.
    """
    return f"""\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
Dir::Etc::SourceList "{work}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
"""
