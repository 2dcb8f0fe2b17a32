"""The viewer gives devices to the guest and takes them back; spice-gtk's device manager is a stand-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hostos.programs.soulpad_viewer import usb as usb_module
from hostos.programs.soulpad_viewer.devices import Device
from hostos.programs.soulpad_viewer.usb import NO_PORT, Usb
from hostos.programs.soulpad_viewer.wishes import Wishes, parse

Done = Callable[..., None]
DISK = Device("1-7", "0781:5567", "SanDisk Cruzer")
SERIAL = Device("2-3", "0403:6001", "FTDI Serial")
STICK = Device("1-2", "0951:1666", "Kingston Stick")


class Handle:
    def __init__(self, device: Device) -> None:
        self.device = device

    def get_description(self, form: str) -> str:
        return form % ("", self.device.name, f"[{self.device.model}]", *self.device.numbers)


class Manager:
    """Gives and takes at once, or when it is told that it has. ``ports``: how many the guest has."""

    def __init__(self, ports: int = 4) -> None:
        self.ports = ports
        self.connected: list[Handle] = []
        self.refusal = ""
        self.slow = False
        self.waiting: list[Callable[[], None]] = []
        self.signals: dict[str, Callable[..., None]] = {}

    @property
    def props(self) -> Any:
        return SimpleNamespace(free_channels=self.ports - len(self.connected))

    def connect(self, signal: str, handler: Callable[..., None]) -> None:
        self.signals[signal] = handler

    def is_device_connected(self, handle: Handle) -> bool:
        return handle in self.connected

    def connect_device_async(self, handle: Handle, _cancellable: None, done: Done) -> None:
        self.connected.append(handle)
        self._soon(lambda: done(self, handle))

    def connect_device_finish(self, handle: Handle) -> None:
        if self.refusal:
            self.connected.remove(handle)
            raise RuntimeError(self.refusal)

    def disconnect_device_async(self, handle: Handle, _cancellable: None, done: Done) -> None:
        def take() -> None:
            self.connected.remove(handle)
            done(self, handle)

        self._soon(take)

    def disconnect_device_finish(self, handle: Handle) -> None:
        """Never fails here."""

    def _soon(self, act: Callable[[], None]) -> None:
        if self.slow:
            self.waiting.append(act)
        else:
            act()

    def plug_in(self, device: Device) -> Handle:
        handle = Handle(device)
        self.signals["device-added"](self, handle)
        return handle

    def pull_out(self, handle: Handle) -> None:
        if handle in self.connected:
            self.connected.remove(handle)
        self.signals["device-removed"](self, handle)

    @property
    def given(self) -> list[str]:
        return [handle.device.name for handle in self.connected]


class Viewer:
    """What is around the devices: what was said to the person, and the file of the wishes."""

    def __init__(self, folder: Path, manager: Manager) -> None:
        self.said: list[str] = []
        self.memory = folder / "usb"
        self.usb = Usb(manager, self.memory, lambda: None, self.said.append, lambda device: device != STICK)


@pytest.fixture(autouse=True)
def disks_are_common(monkeypatch: pytest.MonkeyPatch) -> None:
    def common(device: Device) -> bool:
        return device.model == DISK.model

    monkeypatch.setattr(usb_module, "Wishes", lambda: Wishes(common=common))
    monkeypatch.setattr(usb_module, "parse", lambda text: replace(parse(text), common=common))


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def viewer(tmp_path: Path, manager: Manager) -> Viewer:
    made = Viewer(tmp_path, manager)
    made.usb.started()
    return made


def test_a_disk_that_is_plugged_in_goes_to_the_guest_and_the_person_is_told(manager: Manager, viewer: Viewer) -> None:
    manager.plug_in(DISK)
    assert manager.given == [DISK.name]
    assert viewer.said == ["SanDisk Cruzer goes to the virtual machine."]
    assert viewer.memory.read_text() == "given 1-7 0781:5567\n"


def test_what_was_there_before_is_offered_and_given_when_it_is_chosen(tmp_path: Path, manager: Manager) -> None:
    viewer = Viewer(tmp_path, manager)
    manager.plug_in(DISK)
    viewer.usb.started()
    assert manager.given == [] and viewer.usb.devices() == [DISK]
    viewer.usb.toggle(DISK)
    assert manager.given == [DISK.name] and viewer.usb.is_given(DISK)
    viewer.usb.toggle(DISK)
    assert manager.given == [] and viewer.said[-1] == "SanDisk Cruzer is taken back."


def test_the_stick_is_never_offered(manager: Manager, viewer: Viewer) -> None:
    manager.plug_in(STICK)
    manager.plug_in(SERIAL)
    assert viewer.usb.devices() == [SERIAL]
    assert manager.given == []


def test_a_device_that_waits_for_a_port_gets_the_next_one_that_is_free(tmp_path: Path) -> None:
    manager = Manager(ports=1)
    viewer = Viewer(tmp_path, manager)
    viewer.usb.started()
    first = manager.plug_in(DISK)
    second = Device("1-8", DISK.model, "Another disk")
    manager.plug_in(second)
    assert manager.given == [DISK.name]
    manager.pull_out(first)
    assert manager.given == ["Another disk"]


def test_devices_are_given_once_the_guests_ports_are_there(tmp_path: Path) -> None:
    manager = Manager(ports=0)
    viewer = Viewer(tmp_path, manager)
    viewer.usb.started()
    manager.plug_in(DISK)
    manager.ports = 4
    viewer.usb.look()
    assert manager.given == [DISK.name]


def test_a_person_is_told_when_no_port_is_left(tmp_path: Path) -> None:
    manager = Manager(ports=1)
    viewer = Viewer(tmp_path, manager)
    viewer.usb.started()
    manager.plug_in(DISK)
    manager.plug_in(SERIAL)
    viewer.usb.toggle(SERIAL)
    assert manager.given == [DISK.name] and viewer.said[-1] == NO_PORT


def test_a_device_that_cannot_be_given_is_not_tried_for_ever(manager: Manager, viewer: Viewer) -> None:
    manager.refusal = "busy"
    manager.plug_in(DISK)
    viewer.usb.look()
    assert manager.given == [] and len(viewer.said) == 1 and "busy" in viewer.said[0]
    manager.refusal = ""
    viewer.usb.toggle(DISK)
    assert manager.given == [DISK.name]


def test_a_device_that_fails_while_the_guest_has_it_is_not_given_again_by_itself(
    manager: Manager, viewer: Viewer
) -> None:
    handle = manager.plug_in(DISK)
    manager.connected.clear()
    manager.signals["device-error"](manager, handle, RuntimeError("no answer"))
    viewer.usb.look()
    assert manager.given == [] and "no answer" in viewer.said[-1]


def test_a_device_is_not_given_twice_while_it_is_being_given(manager: Manager, viewer: Viewer) -> None:
    manager.slow = True
    manager.plug_in(DISK)
    viewer.usb.toggle(DISK)
    viewer.usb.look()
    assert len(manager.waiting) == 1


def test_a_device_that_is_gone_can_be_chosen_without_harm(manager: Manager, viewer: Viewer) -> None:
    manager.pull_out(manager.plug_in(SERIAL))
    viewer.usb.toggle(SERIAL)
    assert manager.given == [] and viewer.usb.devices() == []


def test_before_the_end_every_device_is_taken_back_and_waited_for(manager: Manager, viewer: Viewer) -> None:
    manager.plug_in(DISK)
    manager.plug_in(SERIAL)
    viewer.usb.toggle(SERIAL)
    manager.slow = True
    ended: list[bool] = []
    viewer.usb.let_go(lambda: ended.append(True))
    first, second = manager.waiting
    first()
    assert not ended
    second()
    assert ended == [True] and manager.given == []
    assert "given 1-7" in viewer.memory.read_text() and "given 2-3" in viewer.memory.read_text()


def test_at_the_end_nothing_is_given_any_more(manager: Manager, viewer: Viewer) -> None:
    ended: list[bool] = []
    viewer.usb.let_go(lambda: ended.append(True))
    manager.plug_in(DISK)
    assert ended == [True] and manager.given == []


def test_the_next_viewer_gives_what_this_one_gave(tmp_path: Path, manager: Manager, viewer: Viewer) -> None:
    manager.plug_in(SERIAL)
    viewer.usb.toggle(SERIAL)
    again = Manager()
    after = Viewer(tmp_path, again)
    again.plug_in(SERIAL)
    after.usb.started()
    assert again.given == [SERIAL.name]


def test_the_next_viewer_keeps_what_this_one_kept_in_whatever_order_devices_are_found(tmp_path: Path) -> None:
    before = Device("1-8", DISK.model, "A disk that was there before")
    manager = Manager()
    first = Viewer(tmp_path, manager)
    manager.plug_in(before)
    first.usb.started()
    manager.plug_in(DISK)
    again = Manager()
    second = Viewer(tmp_path, again)
    for device in (DISK, before):
        again.plug_in(device)
    second.usb.started()
    assert again.given == [DISK.name]


def test_without_a_place_to_remember_devices_are_given_all_the_same(tmp_path: Path, manager: Manager) -> None:
    viewer = Viewer(tmp_path / "missing", manager)
    viewer.usb.started()
    manager.plug_in(DISK)
    assert manager.given == [DISK.name]
