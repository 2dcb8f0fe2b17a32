"""Debian packages as files, fetched by apt with a state of its own: nothing is installed, no root is needed.

Signatures are checked against the Debian archive keyring; mirrors and proxies are this machine's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from builder.debian.mirror import DebianMirror, this_machines_mirror
from soulpad.base.run import run

RELEASE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
HINT = "check this machine's network and its apt settings: apt-get update"


def fetch(packages: Iterable[str], work: Path, *, with_dependencies: bool = False, installed: str = "") -> list[Path]:
    """The ``.deb`` files of the packages' newest versions, below ``work``, sorted.

    ``with_dependencies``: of all as well that they depend on and ``installed`` (the text of a dpkg status file) lacks.
    Raises BadInput without a mirror, ProgramFailed.
    """
    archives = work / "cache/archives"
    for folder in (work / "state/lists/partial", archives / "partial"):
        folder.mkdir(parents=True)
    (work / "status").write_text(installed)
    (work / "sources.list").write_text(sources(this_machines_mirror()))
    settings = work / "apt.conf"
    settings.write_text(apt_settings(work))
    apt = ["apt-get", "--config-file", str(settings), "--quiet"]
    run([*apt, "update"], hint=HINT)
    if with_dependencies:
        plan = ["install", "--download-only", "--reinstall", "--no-install-recommends", "--yes"]
        run([*apt, *plan, *packages], hint=HINT)
    else:
        run([*apt, "download", *packages], cwd=archives, hint=HINT)
    return sorted(archives.glob("*.deb"))


def unpack(packages: Iterable[Path], root: Path) -> None:
    """Unpacks packages' files into ``root``, which is made; no script of theirs runs."""
    root.mkdir(mode=0o755)
    for package in packages:
        run(["dpkg-deb", "-x", package, root])


def sources(mirror: DebianMirror) -> str:
    """The apt sources: the host's release from the machine's own mirrors."""
    signed = f"[arch=amd64 signed-by={KEYRING}]"
    return f"deb {signed} {mirror.main} {RELEASE} main\ndeb {signed} {mirror.security} {RELEASE}-security main\n"


def apt_settings(work: Path) -> str:
    """apt.conf(5) that keeps apt's state below ``work``. Proxies and the like stay as the machine has them.

    The machine's hooks after an update are cleared: they speak of its own packages and may need root. The sandbox
    user is root because apt's ``_apt`` may not enter private folders; without root the setting means nothing.
    Nobody else has this state, so it needs no lock, which only root could take.
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
Debug::NoLocking "true";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
Dir::Etc::SourceList "{work}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
"""
