"""What the viewer makes of what kernel, udev and a person say: who is to have a USB device, which card sounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostos.programs.soulpad_viewer.devices import Device, described, is_common, kinds_of, may_be_given
from hostos.programs.soulpad_viewer.sound import card_in
from hostos.programs.soulpad_viewer.wishes import Wishes, parse

DISK = Device("1-7", "0781:5567", "SanDisk Cruzer")
DISK_AGAIN = Device("1-9", "0781:5567", "SanDisk Cruzer")
SERIAL = Device("2-3", "0403:6001", "FTDI Serial")


def wishes(text: str | None = None) -> Wishes:
    """Those of a first viewer, or of one that was started anew; a disk is of a kind that people plug in."""
    made = Wishes() if text is None else parse(text)
    made.common = lambda device: device.model == DISK.model
    return made


def test_a_device_is_told_by_what_spice_says_of_it() -> None:
    assert described("SanDisk \tCruzer\t[0781:5567]\t1\t7") == DISK
    assert described("\t\t\t3\t12") == Device("3-12", "", "USB device")
    assert DISK.numbers == (1, 7)


def test_what_udev_lets_the_viewer_open_may_be_given_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "001").mkdir()
    (tmp_path / "001/007").touch()
    assert may_be_given(DISK, tmp_path)
    assert not may_be_given(DISK_AGAIN, tmp_path)


@pytest.mark.parametrize(
    ("interfaces", "common"),
    [
        (["08"], True),
        (["0e", "0e", "01", "03"], True),  # a webcam with a microphone and a button
        (["06", "ff"], False),  # a phone that speaks a language of its own too
        (["03"], False),
        (["03", "03"], False),
        (["ff"], False),
        ([], False),
    ],
)
def test_only_what_people_plug_in_for_a_while_is_common(interfaces: list[str], common: bool, tmp_path: Path) -> None:
    for name, address in (("1-2", 7), ("1-3", 9), ("usb1", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "busnum").write_text("1\n")
        (tmp_path / name / "devnum").write_text(f"{address}\n")
    for number, kind in enumerate(interfaces):
        (tmp_path / f"1-2/1-2:1.{number}").mkdir()
        (tmp_path / f"1-2/1-2:1.{number}/bInterfaceClass").write_text(f"{kind}\n")
    (tmp_path / "1-3/1-3:1.0").mkdir()
    (tmp_path / "1-3/1-3:1.0/bInterfaceClass").write_text("08\n")
    assert is_common(DISK, tmp_path) == common


def test_a_device_that_the_kernel_does_not_know_any_more_is_of_no_kind(tmp_path: Path) -> None:
    assert kinds_of(DISK, tmp_path) == frozenset()
    assert not is_common(DISK, tmp_path / "nothing")


def test_what_was_there_before_the_session_is_only_offered() -> None:
    assert not wishes().wanted(DISK, at_start=True)


def test_what_is_plugged_in_goes_to_the_guest_if_it_is_common() -> None:
    made = wishes()
    assert made.wanted(DISK)
    assert not made.wanted(SERIAL)


def test_what_a_person_said_holds_until_the_device_is_pulled_out() -> None:
    made = wishes()
    made.wanted(DISK)
    made.say(DISK, False)
    assert not made.wanted(DISK)
    made.there_are(frozenset())
    assert made.wanted(DISK_AGAIN)


def test_what_the_guest_had_it_gets_back_once_when_it_is_put_in_again() -> None:
    made = wishes()
    made.say(SERIAL, True)
    made.there_are(frozenset({"2-4", "2-5"}))
    assert made.wanted(Device("2-4", SERIAL.model, SERIAL.name))
    assert not made.wanted(Device("2-5", SERIAL.model, SERIAL.name)), "there was one only"


def test_a_second_device_of_a_model_is_one_of_its_own() -> None:
    made = wishes()
    made.there_are(frozenset({SERIAL.place, "2-4"}))
    made.say(SERIAL, True)
    assert not made.wanted(Device("2-4", SERIAL.model, SERIAL.name))


def test_a_viewer_that_is_started_anew_gives_back_what_the_one_before_gave() -> None:
    before = wishes()
    before.there_are(frozenset({DISK.place, SERIAL.place}))
    assert not before.wanted(DISK, at_start=True)
    before.say(SERIAL, True)
    after = wishes(before.text())
    after.there_are(frozenset({DISK.place, SERIAL.place}))
    assert not after.wanted(DISK, at_start=True), "it was only offered, and still is"
    assert after.wanted(SERIAL, at_start=True)


def test_what_is_plugged_in_while_no_viewer_runs_goes_to_the_guest_as_well() -> None:
    after = wishes(wishes().text())
    assert after.wanted(DISK, at_start=True)


def test_another_device_at_a_known_place_is_not_taken_for_the_one_before() -> None:
    after = wishes(f"given {SERIAL.place} 1234:5678\n")
    assert not after.wanted(SERIAL)


def test_lines_of_a_damaged_memory_are_passed_over() -> None:
    assert parse("given 1-7\nperhaps 1-7 0781:5567\n\x00\nkept 2-3 0403:6001 x\ngiven 2-3 0403:6001\n").known == {
        "2-3": ("0403:6001", True)
    }


def test_sound_goes_to_the_first_card_that_is_no_monitor() -> None:
    pcm = (
        "00-03: HDMI 0 : HDMI 0 : playback 1\n"
        "01-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1\n"
        "02-00: USB Audio : USB Audio : playback 1\n"
    )
    assert card_in(pcm) == "1"


@pytest.mark.parametrize(
    "pcm", ["", "00-03: HDMI 0 : HDMI 0 : playback 1\n", "01-00: Microphone : capture 1\n", "\n-\n"]
)
def test_a_pc_without_a_card_that_sounds_is_silent(pcm: str) -> None:
    assert card_in(pcm) is None
