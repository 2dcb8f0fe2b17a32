"""The module under test with libvirt's place taken, a parcel in a folder, a QEMU that only notes."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soulpad.session.parcels import Parcel
from soulpad.session.stages import StageClock
from tests.unit.session_machine.fakes import (
    OLD,
    VM_GROUP_ID,
    VM_USER_ID,
    WITH_KVM,
    FakeHypervisor,
    make_parcel,
    manifest_of,
)
from tests.unit.stand_ins import load


@pytest.fixture(scope="module")
def machine() -> Any:
    """The module under test; its fakes take the place of all that libvirt does."""
    return load("soulpad.session.machine")


@pytest.fixture(autouse=True)
def given(machine: Any, monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """The files given to QEMU's user, whom this PC does not know; nothing is told to its kernel log either."""
    paths: set[Path] = set()

    def user_of(name: str) -> SimpleNamespace:
        assert name == "soulpad-vm"
        return SimpleNamespace(pw_uid=VM_USER_ID, pw_gid=VM_GROUP_ID)

    def chown(path: Path, user_id: int, group_id: int) -> None:
        assert path.exists() and (user_id, group_id) == (VM_USER_ID, VM_GROUP_ID)
        paths.add(path)

    monkeypatch.setattr(machine, "pwd", SimpleNamespace(getpwnam=user_of))
    monkeypatch.setattr(machine, "report", lambda _event, **_facts: None)
    monkeypatch.setattr(os, "chown", chown)
    return paths


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    """A suspended parcel."""
    return make_parcel(tmp_path, manifest_of(OLD))


@pytest.fixture
def hypervisor(parcel: Parcel) -> FakeHypervisor:
    return FakeHypervisor(parcel)


@pytest.fixture
def running(machine: Any, parcel: Parcel, hypervisor: FakeHypervisor) -> Any:
    """The suspended parcel, resumed; what QEMU was told until then is forgotten."""
    running = machine.resume(parcel, hypervisor, WITH_KVM, StageClock("resume"))
    hypervisor.calls.clear()
    return running
