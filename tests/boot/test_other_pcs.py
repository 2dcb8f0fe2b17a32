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
from demo.stations import event
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
