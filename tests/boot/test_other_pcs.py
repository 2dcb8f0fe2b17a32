"""What a person meets at PCs where not all is well; each on a copy of the stick that walked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

TIMEOUT_SECONDS = 600
SECRET = Secret(PASSPHRASE.encode())


@contextmanager
def switched_on(name: str, stick: Path, folder: Path, *more: UsbDisk) -> Iterator[RunningPc]:
    with power_on(find_profile(name), UsbDisk(stick, durable=False), folder, more_usb_disks=more) as pc:
        yield pc


def copy_of(walked: dict[str, Any], folder: Path) -> Path:
    target = folder / "stick.img"
    run(["cp", "--sparse=always", walked["image"], target])
    return target


def current_generation(stick: Path) -> int:
    parcels = inspect(stick, SECRET).parcels
    assert parcels is not None
    (current,) = (checkpoint.generation for checkpoint in parcels[0].checkpoints if checkpoint.current)
    return current


def test_wrong_passphrase_is_said_and_a_pc_without_virtualisation_changes_nothing(
    walked: dict[str, Any], tmp_path: Path
) -> None:
    stick = copy_of(walked, tmp_path)
    before = current_generation(stick)
    with switched_on("no-virtualisation", stick, tmp_path / "pc") as pc:
        said = event(pc, "fitness", TIMEOUT_SECONDS)
        assert [finding["kind"] for finding in said["findings"]] == ["virtualisation"]
        person = Person(pc)
        person.types_passphrase("this is not the passphrase at all")
        event(pc, "wrong-passphrase", TIMEOUT_SECONDS)
        person.types_passphrase(PASSPHRASE)
        refused = event(pc, "resume-refused", TIMEOUT_SECONDS)
        assert "virtualisation" in refused["reason"]
        person.chooses(1, tmp_path / "refused.png")
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    assert current_generation(stick) == before


def test_key_file_on_a_second_usb_disk_unlocks_without_typing_and_the_session_goes_on(
    walked: dict[str, Any], tmp_path: Path
) -> None:
    stick = copy_of(walked, tmp_path)
    key_disk = make_key_disk(Path(walked["image"]), tmp_path / "key.img")
    with switched_on("uefi-desktop", stick, tmp_path / "pc", UsbDisk(key_disk)) as pc:
        running = event(pc, "running", TIMEOUT_SECONDS)
        assert running["generation"] == 2
        pc.wait_for_serial(GUEST_REPORT % 200, TIMEOUT_SECONDS, GUEST_PORT)
        pc.press("ctrl", "alt", "end")
        event(pc, "suspended", TIMEOUT_SECONDS)
        pc.wait_for_power_off(TIMEOUT_SECONDS)
    assert current_generation(stick) == 3


def make_key_disk(stick: Path, target: Path) -> Path:
    """A FAT file system on a bare disk with the key file that was made with the stick."""
    (key,) = stick.parent.glob("soulpad-*.key")
    target.touch()
    run(["truncate", "-s", "64M", target])
    run(["mformat", "-i", target, "-F", "::"])
    run(["mcopy", "-i", target, key, f"::{key.name}"])
    return target
