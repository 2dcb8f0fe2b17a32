"""A running machine's dealings with the guest agent, with libvirt's place taken."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from soulpad.base.errors import CannotResume


class LibvirtError(Exception):
    """As libvirt's own: its text is the reason."""


class FakeDomain:
    """``fails``: what the agent's side answers with. ``answers``: QEMU's, by command."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.told: list[Any] = []
        self.timeout_seconds: int | None = None
        self.answers: dict[str, Any] = {}

    def agentSetResponseTimeout(self, seconds: int, flags: int) -> None:  # noqa: N802
        self.timeout_seconds = seconds

    def getTime(self) -> dict[str, int]:  # noqa: N802
        if self.fails:
            raise self.fails
        return {"seconds": 1763700000, "nseconds": 250_000_000}

    def setTime(self, moment: dict[str, int]) -> None:  # noqa: N802
        self.told.append(moment)
        if self.fails:
            raise self.fails


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module under test, loaded on stand-ins for libvirt's two modules."""
    for name in ("libvirt", "libvirt_qemu"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["libvirt"], "libvirtError", LibvirtError, raising=False)
    monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuMonitorCommand", answer, raising=False)
    monkeypatch.delitem(sys.modules, "soulpad.vm.hypervisor", raising=False)
    yield importlib.import_module("soulpad.vm.hypervisor")
    sys.modules.pop("soulpad.vm.hypervisor", None)


def answer(domain: FakeDomain, request: str, _flags: int) -> str:
    command = json.loads(request)
    domain.told.append((command["execute"], command["arguments"]))
    return json.dumps(domain.answers.get(command["execute"], {"return": {}}))


@pytest.fixture
def domain() -> FakeDomain:
    return FakeDomain()


def test_the_guests_clock_is_read_with_its_fraction_and_a_limit_to_waiting(hypervisor: Any, domain: FakeDomain) -> None:
    assert hypervisor.RunningMachine(domain).guest_clock() == 1763700000.25
    assert domain.timeout_seconds == hypervisor.AGENT_TIMEOUT_SECONDS > 0


def test_the_guests_clock_is_set_to_the_fraction_of_a_second(hypervisor: Any, domain: FakeDomain) -> None:
    hypervisor.RunningMachine(domain).set_guest_clock(1763700000.75)
    assert domain.told == [{"seconds": 1763700000, "nseconds": 750_000_000}]


@pytest.mark.parametrize("ask", ["guest_clock", "set_guest_clock"])
def test_an_agent_that_does_not_answer_is_silent_and_no_failure_of_the_machine(
    hypervisor: Any, domain: FakeDomain, ask: str
) -> None:
    domain.fails = LibvirtError("Guest agent is not responding: QEMU guest agent is not connected")
    machine = hypervisor.RunningMachine(domain)
    with pytest.raises(hypervisor.AgentSilent, match="not connected"):
        machine.guest_clock() if ask == "guest_clock" else machine.set_guest_clock(1.0)


@pytest.mark.parametrize("up", [True, False])
def test_the_cable_is_the_first_cards(hypervisor: Any, domain: FakeDomain, up: bool) -> None:
    hypervisor.RunningMachine(domain).set_link(up)
    assert domain.told == [("set_link", {"name": "net0", "up": up})]


def test_a_machine_counts_as_resumed_once_its_state_is_loaded(hypervisor: Any, domain: FakeDomain) -> None:
    machine = hypervisor.RunningMachine(domain)
    domain.answers["query-migrate"] = {"return": {"status": "failed", "error-desc": "no such device"}}
    with pytest.raises(CannotResume, match="no such device"):
        machine.load_device_state(Path("state"))
    assert not machine.resumed
    domain.answers["query-migrate"] = {"return": {"status": "completed"}}
    machine.load_device_state(Path("state"))
    assert machine.resumed


def test_a_machine_that_ended_is_told_of_with_its_last_words(
    hypervisor: Any, domain: FakeDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_domain: FakeDomain, _request: str, _flags: int) -> str:
        raise LibvirtError("Unable to read from monitor: Connection reset by peer")

    monkeypatch.setattr(hypervisor.libvirt_qemu, "qemuMonitorCommand", gone)
    log = tmp_path / "parcel.log"
    machine = hypervisor.RunningMachine(domain, log)
    with pytest.raises(CannotResume, match="Unable to read from monitor"):
        machine.load_device_state(Path("state"))
    log.write_text(
        "2026-11-21 starting up\nqemu-system-x86_64: not enough of it\nqemu-system-x86_64: it is over\n2026\n"
    )
    with pytest.raises(CannotResume, match="it is over"):
        machine.load_device_state(Path("state"))
