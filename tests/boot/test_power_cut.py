"""A session that loses its power at one PC goes on at another from what was saved while it ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.inspect import inspect
from builder.pc.machine import UsbDisk
from builder.pc.profile import find_profile
from builder.pc.running import RunningPc, power_on
from demo.stations import GUEST_PORT, GUEST_REPORT, event
from demo.walk import PASSPHRASE
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from tests.boot.person import Person

pytestmark = pytest.mark.boot

TIMEOUT_SECONDS = 900
SECRET = Secret(PASSPHRASE.encode())


def soul(pc: RunningPc) -> dict[str, Any]:
    """The guest program's next report, with all of its memory as it was."""
    since = len(pc.serial(GUEST_PORT))
    match = pc.wait_for_serial(GUEST_REPORT % 200, TIMEOUT_SECONDS, GUEST_PORT, since)
    return dict(json.loads(match[1])["soul"])


def occasions(stick: Path) -> dict[int, str]:
    """Why each checkpoint on the stick was made."""
    parcels = inspect(stick, SECRET).parcels
    assert parcels is not None
    return {view.generation: view.manifest.occasion for view in parcels[0].checkpoints if view.manifest}


def make_key_disk(stick: Path, target: Path) -> Path:
    """A FAT file system on a bare disk with the key file that was made with the stick."""
    (key,) = stick.parent.glob("soulpad-*.key")
    target.touch()
    run(["truncate", "-s", "64M", target])
    run(["mformat", "-i", target, "-F", "::"])
    run(["mcopy", "-i", target, key, f"::{key.name}"])
    return target


def test_a_session_that_is_cut_off_goes_on_from_what_was_saved_while_it_ran(
    walked: dict[str, Any], tmp_path: Path
) -> None:
    """Unlocked by a key file on a second USB disk, without typing; saved by Ctrl+Alt+Home; in the end suspended by
    Ctrl+Alt+End."""
    stick = tmp_path / "stick.img"
    run(["cp", "--sparse=always", walked["image"], stick])
    key_disk = UsbDisk(make_key_disk(Path(walked["image"]), tmp_path / "key.img"))
    profile = find_profile("uefi-desktop")
    with power_on(profile, UsbDisk(stick, durable=False), tmp_path / "first", more_usb_disks=[key_disk]) as pc:
        assert event(pc, "running", TIMEOUT_SECONDS)["generation"] == max(occasions(Path(walked["image"])))
        before = soul(pc)
        pc.press("ctrl", "alt", "home")
        saved = event(pc, "checkpoint", TIMEOUT_SECONDS)
        lost = soul(pc)
        assert lost["counter"] > before["counter"], "the guest goes on after it was saved"
        pc.kill()
    with power_on(profile, UsbDisk(stick, durable=False), tmp_path / "second", more_usb_disks=[key_disk]) as pc:
        Person(pc).chooses(0, tmp_path / "cut-off.png")
        assert event(pc, "running", TIMEOUT_SECONDS)["generation"] >= saved["generation"]
        after = soul(pc)
        assert after["boot_id"] == before["boot_id"]
        assert after["counter"] > before["counter"]
        pc.press("ctrl", "alt", "end")
        last = event(pc, "suspended", TIMEOUT_SECONDS)["generation"]
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    found = occasions(stick)
    assert max(found) == last and found[last] == "suspend"
    assert {"while-running", "cut-off"} <= set(found.values()), "what was left stays on the stick"
