"""How full the PC's batteries are, from folders as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from soulpad.session.battery import Battery, read_battery


def supply(folder: Path, name: str, **files: str) -> None:
    (folder / name).mkdir(parents=True)
    for file, text in ({"type": "Battery"} | files).items():
        (folder / name / file).write_text(f"{text}\n")


def test_a_pc_without_batteries_has_none(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="1")
    supply(tmp_path, "ucsi", type="USB", capacity="50", status="Discharging")
    assert read_battery(tmp_path) is None
    assert read_battery(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("status", "discharging"),
    [("Discharging", True), ("Charging", False), ("Full", False), ("Not charging", False), ("Unknown", False)],
)
def test_one_battery_is_discharging_only_when_it_says_so(tmp_path: Path, status: str, discharging: bool) -> None:
    supply(tmp_path, "BAT0", capacity="37", status=status)
    assert read_battery(tmp_path) == Battery(37, discharging)


@pytest.mark.parametrize(
    ("second", "discharging"),
    [("Discharging", True), ("Not charging", True), ("Unknown", True), ("Full", True), ("Charging", False)],
)
def test_two_batteries_are_one_of_their_mean(tmp_path: Path, second: str, discharging: bool) -> None:
    supply(tmp_path, "BAT0", capacity="5", status="Discharging")
    supply(tmp_path, "BAT1", capacity="80", status=second)
    assert read_battery(tmp_path) == Battery(42, discharging)


def test_the_battery_of_a_mouse_is_not_the_pcs(tmp_path: Path) -> None:
    supply(tmp_path, "hidpp_battery_0", scope="Device", capacity="2", status="Discharging")
    assert read_battery(tmp_path) is None
    supply(tmp_path, "BAT0", scope="System", capacity="90", status="Discharging")
    assert read_battery(tmp_path) == Battery(90, True)


@pytest.mark.parametrize("capacity", ["", "unknown", "-3", "12.5"])
def test_a_battery_that_does_not_say_how_full_it_is_is_left_out(tmp_path: Path, capacity: str) -> None:
    supply(tmp_path, "BAT0", capacity=capacity, status="Discharging")
    assert read_battery(tmp_path) is None
    supply(tmp_path, "BAT1", capacity="60", status="Charging")
    assert read_battery(tmp_path) == Battery(60, False)


def test_a_battery_that_claims_more_than_all_is_full(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", capacity="104", status="Full")
    assert read_battery(tmp_path) == Battery(100, False)


def test_a_battery_without_its_files_is_none(tmp_path: Path) -> None:
    (tmp_path / "BAT0").mkdir()
    (tmp_path / "BAT1").mkdir()
    (tmp_path / "BAT1" / "type").mkdir()  # reading it fails
    assert read_battery(tmp_path) is None


def test_a_battery_that_does_not_say_what_it_does_is_not_discharging(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", capacity="3")
    assert read_battery(tmp_path) == Battery(3, False)


def test_bytes_that_are_no_text_are_no_battery(tmp_path: Path) -> None:
    supply(tmp_path, "BAT0", capacity="50", status="Discharging")
    (tmp_path / "BAT0" / "capacity").write_bytes(b"\xff\xfe5\n")
    assert read_battery(tmp_path) is None
