"""The stick is pulled out while the PC runs, and put back: the session goes on where it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from builder.inspect import inspect
from builder.pc.internal_disk import sha256_sparse
from builder.pc.machine import UsbDisk
from builder.pc.profile import find_profile
from builder.pc.running import RunningPc, power_on
from builder.pc.screen import differs
from demo.stations import GUEST_PORT, GUEST_REPORT, command_guest, event
from demo.walk import PASSPHRASE
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
from tests.boot.person import Person

pytestmark = pytest.mark.boot

TIMEOUT_SECONDS = 900
SECRET = Secret(PASSPHRASE.encode())
A_LINE_OF_PIXELS = 1000


def waits_for(pc: RunningPc, name: str, since: int) -> re.Match[str]:
    """An event that the host reports after position ``since`` of its log."""
    return pc.wait_for_serial(rf'^SOULPAD \{{"event": "{name}".*\}}\s*$', TIMEOUT_SECONDS, since=since)


def unlocks(pc: RunningPc) -> None:
    """Types the passphrase, and again when a key got lost on the way."""
    said = "wrong-passphrase"
    while said == "wrong-passphrase":
        since = len(pc.serial())
        pc.type_text(PASSPHRASE)
        pc.press("ret")
        said = pc.wait_for_serial('"event": "(unlocked|wrong-passphrase)"', TIMEOUT_SECONDS, since=since)[1]
    event(pc, "running", TIMEOUT_SECONDS)


def pulls_out(pc: RunningPc, photograph: Path, *name: str) -> None:
    """Pulls out the stick and waits until the screen says so."""
    pc.screenshot(before := photograph.with_name("before.png"))
    since = len(pc.serial())
    pc.pull_out(*name)
    waits_for(pc, "stick-gone", since)
    while not differs(before, pc.screenshot(photograph), A_LINE_OF_PIXELS):
        assert pc.seconds() < TIMEOUT_SECONDS, "the screen never said that the stick is missing"


def puts_in(pc: RunningPc, disk: UsbDisk, name: str, then: str) -> str:
    """Puts a disk into another socket; the line with which the host reports that."""
    since = len(pc.serial())
    pc.plug_in(disk, name)
    return waits_for(pc, then, since)[0]


@pytest.fixture
def copied(walked: dict[str, Any], tmp_path: Path) -> Path:
    """The walk's stick as one's own."""
    run(["cp", "--sparse=always", walked["image"], tmp_path / "stick.img"])
    return tmp_path / "stick.img"


def test_a_session_whose_stick_is_pulled_out_stands_still_and_goes_on_once_it_is_back(
    copied: Path, tmp_path: Path
) -> None:
    """At the prompt as well; and a disk that is not the stick changes nothing."""
    stick = UsbDisk(copied, durable=False, write_cache=False)
    other = tmp_path / "other.img"
    other.write_bytes(bytes(16 * MIB))
    with power_on(find_profile("uefi-desktop"), stick, tmp_path / "pc") as pc:
        Person(pc).at_the_prompt()
        pulls_out(pc, tmp_path / "gone-at-prompt.png")
        puts_in(pc, stick, "second", "stick-back")
        unlocks(pc)
        pc.wait_for_serial(GUEST_REPORT % 200, TIMEOUT_SECONDS, GUEST_PORT)
        pulls_out(pc, tmp_path / "gone.png", "second")
        stood_at = len(pc.serial(GUEST_PORT))
        assert '"another"' in puts_in(pc, UsbDisk(other), "other", "stick-foreign")
        pc.screenshot(tmp_path / "foreign.png")
        assert len(pc.serial(GUEST_PORT)) == stood_at, "the guest stands still"
        puts_in(pc, stick, "third", "stick-back")
        pc.wait_for_serial(GUEST_REPORT % 200, TIMEOUT_SECONDS, GUEST_PORT, stood_at)
        assert command_guest(pc, "verify") == "200 MiB are as they were"
        pc.screenshot(tmp_path / "back.png")
        pc.press_power_button()
        last = event(pc, "suspended", TIMEOUT_SECONDS)["generation"]
        event(pc, "store-closed", TIMEOUT_SECONDS)
        pc.pull_out("third")  # a little early: nothing is missing any more, so nobody waits for it
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    assert other.read_bytes() == bytes(16 * MIB), "another disk is not written to"
    parcels = inspect(copied, SECRET).parcels
    assert parcels is not None
    [current] = [view for view in parcels[0].checkpoints if view.current]
    assert current.generation == last and not current.problem


def test_a_disk_that_lost_its_cache_is_not_written_to_and_the_power_button_ends_it(
    copied: Path, tmp_path: Path
) -> None:
    stick = UsbDisk(copied, durable=False)
    with power_on(find_profile("old-desktop"), stick, tmp_path / "pc") as pc:
        Person(pc).at_the_prompt()
        unlocks(pc)
        pulls_out(pc, tmp_path / "gone.png")
        left = sha256_sparse(copied)
        assert '"forgetful"' in puts_in(pc, stick, "second", "stick-foreign")
        pc.screenshot(tmp_path / "forgetful.png")
        pc.press_power_button()
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    assert sha256_sparse(copied) == left
    parcels = inspect(copied, SECRET).parcels
    assert parcels is not None
    assert any(view.current and not view.problem for view in parcels[0].checkpoints), "the last checkpoint is whole"
