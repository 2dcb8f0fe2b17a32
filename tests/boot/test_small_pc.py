"""A parcel with more memory than the PC has. That a guest which uses all of it is whole there takes long to show:
``tests.pairs --small-pc`` (docs/testing.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.pc.machine import UsbDisk
from builder.pc.profile import find_profile
from builder.pc.running import power_on
from demo.stations import event
from demo.walk import PASSPHRASE
from soulpad.base.units import GIB
from tests.boot.person import Person
from tests.boot.sticks import unused_stick

pytestmark = pytest.mark.boot

TIMEOUT_SECONDS = 900


def test_pc_with_1_gib_says_that_a_parcel_of_4_is_slower_and_runs_and_suspends_it(tmp_path: Path) -> None:
    large = unused_stick(tmp_path, 8 * GIB, 4096)
    with power_on(find_profile("netbook"), UsbDisk(large, durable=False), tmp_path / "pc") as pc:
        Person(pc).at_the_prompt()
        said = event(pc, "fitness", TIMEOUT_SECONDS)
        [finding] = said["findings"]
        assert (finding["kind"], said["refused"]) == ("memory", 0)
        assert "slower" in finding["message"]
        pc.type_text(f"{PASSPHRASE}\n")
        event(pc, "running", TIMEOUT_SECONDS)
        pc.press_power_button()
        event(pc, "suspended", TIMEOUT_SECONDS)
        pc.wait_for_power_off(TIMEOUT_SECONDS)
