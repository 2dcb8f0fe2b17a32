"""The toolbox's decisions: what apt is told, and how a program is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.debian.fetch import KEYRING, apt_settings, sources
from builder.debian.mirror import DebianMirror
from builder.debian.toolbox import EMULATOR, Toolbox
from soulpad.base.errors import MissingProgram

MIRROR = DebianMirror(main="http://mirror.example/debian", security="http://mirror.example/security")


@pytest.fixture
def unpacked(tmp_path: Path) -> Toolbox:
    for name in ("usr/sbin/mkfs.xfs", "usr/lib/x86_64-linux-gnu/libc.so.6"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return Toolbox(tmp_path)


def test_packages_come_from_the_machines_mirrors_and_are_checked_with_debians_keys() -> None:
    lines = sources(MIRROR).splitlines()
    assert [line.split()[-3:] for line in lines] == [
        [MIRROR.main, "trixie", "main"],
        [MIRROR.security, "trixie-security", "main"],
    ]
    assert all(f"signed-by={KEYRING}" in line for line in lines)


def test_apt_keeps_all_its_state_in_the_given_folder() -> None:
    settings = apt_settings(Path("/somewhere"))
    for directory in ("Dir::State", "Dir::State::status", "Dir::Cache", "Dir::Etc::SourceList"):
        assert f'{directory} "/somewhere/' in settings


def test_a_program_runs_through_the_toolboxs_own_loader_under_its_own_name(unpacked: Toolbox) -> None:
    argv = unpacked.argv("mkfs.xfs", "-V")
    assert Path(argv[0]).name == "mkfs.xfs"
    assert argv[1:3] == ["--library-path", str(unpacked.root / "usr/lib/x86_64-linux-gnu")]
    assert argv[-2:] == [str(unpacked.root / "usr/sbin/mkfs.xfs"), "-V"]


def test_an_unknown_program_is_refused(unpacked: Toolbox) -> None:
    with pytest.raises(MissingProgram):
        unpacked.argv("rm", "-r")


def test_a_damaged_toolbox_says_what_to_remove(unpacked: Toolbox) -> None:
    with pytest.raises(MissingProgram) as missing:
        unpacked.path("usr/lib/shim/shimx64.efi.signed")
    assert str(unpacked.root) in missing.value.hint


def test_the_emulators_kit_is_another_one(unpacked: Toolbox) -> None:
    assert EMULATOR.key != unpacked.kit.key
    with pytest.raises(MissingProgram, match=r"mkfs\.xfs"):
        Toolbox(unpacked.root, EMULATOR).argv("mkfs.xfs")
