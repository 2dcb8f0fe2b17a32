"""From power-on to the prompt and its answers, at a PC with BIOS and at one with Secure Boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.disk import partitions
from builder.pc.internal_disk import sha256_sparse
from builder.pc.machine import UsbDisk
from builder.pc.profile import find_profile
from builder.pc.running import power_on
from builder.pc.screen import differs
from demo.stations import event
from demo.walk import PASSPHRASE
from soulpad.base.run import run
from soulpad.base.units import MIB
from tests.boot.person import Person

pytestmark = pytest.mark.boot

TIMEOUT_SECONDS = 900
WRONG = "this is not the passphrase"
A_LINE_OF_PIXELS = 1000


@pytest.fixture
def copied(stick: Path, tmp_path: Path) -> Path:
    """A stick of one's own."""
    run(["cp", "--sparse=always", stick, tmp_path / "stick.img"])
    return tmp_path / "stick.img"


def test_bios_pc_says_that_a_passphrase_is_wrong_and_f4_switches_it_off(copied: Path, tmp_path: Path) -> None:
    with power_on(find_profile("old-desktop"), UsbDisk(copied, durable=False), tmp_path / "pc") as pc:
        own_disk = sha256_sparse(pc.room.internal_disk)
        person = Person(pc)
        person.types_passphrase(WRONG)
        event(pc, "wrong-passphrase", TIMEOUT_SECONDS)
        person.at_the_prompt()
        pc.press("f4")
        pc.press("f4")
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    assert sha256_sparse(pc.room.internal_disk) == own_disk


def test_pc_with_too_old_a_processor_says_what_it_lacks_before_the_passphrase(copied: Path, tmp_path: Path) -> None:
    with power_on(find_profile("old-cpu"), UsbDisk(copied, durable=False), tmp_path / "pc") as pc:
        Person(pc).at_the_prompt()
        pc.screenshot(tmp_path / "before.png")
        said = event(pc, "fitness", TIMEOUT_SECONDS)
        [finding] = said["findings"]
        assert (finding["kind"], said["refused"]) == ("processor", 1)
        assert all(flag in finding["message"] for flag in ("ssse3", "sse4_1", "sse4_2"))
        while not differs(tmp_path / "before.png", pc.screenshot(tmp_path / "old-cpu.png"), A_LINE_OF_PIXELS):
            assert pc.seconds() < TIMEOUT_SECONDS, "the advice was never on the screen"
        pc.press("f4")
        pc.press("f4")
        pc.wait_for_power_off(TIMEOUT_SECONDS)


def test_damaged_store_is_a_plain_sentence_at_a_pc_with_secure_boot(copied: Path, tmp_path: Path) -> None:
    parcels = partitions.read_layout(copied).of("parcels")
    with copied.open("r+b") as image:
        image.seek(parcels.offset_bytes)
        image.write(bytes(8 * MIB))
    with power_on(find_profile("secure-laptop"), UsbDisk(copied, durable=False), tmp_path / "pc") as pc:
        own_disk = sha256_sparse(pc.room.internal_disk)
        person = Person(pc)
        person.types_passphrase(PASSPHRASE)
        assert "cannot be opened" in event(pc, "failed", TIMEOUT_SECONDS)["reason"]
        person.chooses(0, tmp_path / "damaged.png")
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    assert sha256_sparse(pc.room.internal_disk) == own_disk
