"""What a machine lacks: findings from plain facts, and the one list of packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builder import doctor, kvmprobe
from builder.places import ROOT
from soulpad.base.run import run
from soulpad.cli.main import main

ALL_CAPABILITIES = (1 << 41) - 1

LIST = """
[[package]]
name = "tools"
groups = ["build"]
programs = ["made-up-tool"]
why = "makes things"

[[package]]
name = "firmware"
groups = ["try", "test"]
files = ["FOLDER/*.fd"]
why = "starts things"
"""


def program(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_a_package_is_there_when_its_programs_are_on_the_path(tmp_path: Path) -> None:
    (package,) = doctor.packages(LIST, {"build"})
    missing = doctor.package_finding(package, path=str(tmp_path))
    assert not missing.ok
    assert missing.mend == "sudo apt-get install tools"
    program(tmp_path, "made-up-tool")
    assert doctor.package_finding(package, path=str(tmp_path)).ok


def test_a_package_without_programs_is_there_when_its_files_are(tmp_path: Path) -> None:
    (package,) = doctor.packages(LIST.replace("FOLDER", str(tmp_path)), {"test"})
    assert not doctor.package_finding(package).ok
    (tmp_path / "OVMF.fd").touch()
    assert doctor.package_finding(package).ok


def test_a_program_that_only_administrators_find_is_no_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "made-up-tool")
    monkeypatch.setattr(doctor, "SYSTEM_FOLDERS", (str(tmp_path), "/sbin"))
    (package,) = doctor.packages(LIST, {"build"})
    finding = doctor.package_finding(package, path="/nowhere")
    assert not finding.ok
    assert finding.mend == f"export PATH=$PATH:{tmp_path}:/sbin"
    assert not finding.package


def test_all_missing_packages_go_into_one_command() -> None:
    findings = [
        doctor.Finding("a", False, "", "sudo apt-get install a", package="a"),
        doctor.Finding("b", True, ""),
        doctor.Finding("c", False, "", "sudo apt-get install c", package="c"),
    ]
    assert doctor.install_command(findings) == "sudo apt-get install a c"
    assert doctor.install_command(findings[1:2]) == ""


def test_an_old_python_is_named_with_the_version_that_is_needed() -> None:
    assert doctor.python_finding((3, 11)).ok
    old = doctor.python_finding((3, 9))
    assert not old.ok and "3.11" in old.mend


@pytest.mark.parametrize(
    ("user_id", "capabilities", "has_sudo", "ok", "said"),
    [
        (0, ALL_CAPABILITIES, False, True, "root"),
        (0, ALL_CAPABILITIES & ~(1 << 21), False, False, "CAP_SYS_ADMIN"),
        (1000, 0, True, True, "sudo"),
        (1000, 0, False, False, "no sudo"),
    ],
)
def test_building_takes_a_root_that_can_make_a_chroot(
    user_id: int, capabilities: int, has_sudo: bool, ok: bool, said: str
) -> None:
    finding = doctor.root_finding(user_id, capabilities, has_sudo)
    assert finding.ok == ok
    assert said in finding.said


def test_too_little_space_is_said_with_what_a_build_wants() -> None:
    assert doctor.space_finding(doctor.FREE_BYTES, Path("/x")).ok
    finding = doctor.space_finding(doctor.FREE_BYTES - 1, Path("/x"))
    assert not finding.ok and "12 GiB" in finding.mend


def test_kvm_makes_things_faster_and_is_never_required() -> None:
    findings = [
        doctor.kvm_finding(False, None),
        doctor.kvm_finding(True, None),
        doctor.kvm_finding(True, lambda: "no guest runs on /dev/kvm"),
        doctor.kvm_finding(True, lambda: ""),
    ]
    assert [finding.ok for finding in findings] == [False, True, False, True]
    assert not any(finding.required for finding in findings)
    assert "not tried" in findings[1].said


def test_kvm_that_is_slower_than_emulation_is_of_no_use() -> None:
    assert kvmprobe.verdict(0.3, 0.2) == ""
    assert kvmprobe.verdict(0.3, None) == "no guest runs on /dev/kvm"
    assert "7.6 s" in kvmprobe.verdict(0.3, 7.6)


def test_the_probes_guest_is_a_boot_sector() -> None:
    sector = kvmprobe.boot_sector()
    assert len(sector) == 512
    assert sector[510:] == b"\x55\xaa"


def test_every_package_of_the_list_says_what_it_is_for() -> None:
    listed = doctor.packages(doctor.PACKAGE_LIST.read_text(), set(doctor.GROUPS))
    assert len({package.name for package in listed}) == len(listed)
    for package in listed:
        assert package.why and (package.programs or package.files), package.name
        assert set(package.groups) <= set(doctor.GROUPS), package.name


def test_the_makefiles_list_and_the_doctors_are_the_same() -> None:
    script = ROOT / "setup" / "list_packages.py"
    for groups in (["try"], ["build", "try"], list(doctor.GROUPS)):
        printed = run([sys.executable, "-S", "-E", script, *groups]).stdout.split()
        assert printed == [package.name for package in doctor.packages(doctor.PACKAGE_LIST.read_text(), set(groups))]
    assert "no group" in run([sys.executable, script, "nonsense"], ok_codes=(2,)).stderr


def test_a_machine_that_lacks_something_gets_exit_code_42_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = tmp_path / "list.toml"
    lacking.write_text(LIST)
    monkeypatch.setattr(doctor, "PACKAGE_LIST", lacking)
    assert main(["doctor", "--for", "test"]) == 42
    assert "sudo apt-get install firmware" in capsys.readouterr().err
    assert main(["doctor", "--for", "test", "--json"]) == 42
    assert json.loads(capsys.readouterr().out)["install"] == "sudo apt-get install firmware"
    lacking.write_text(LIST.replace("FOLDER/*.fd", str(lacking)))
    assert main(["doctor", "--for", "test", "--json"]) == 0
