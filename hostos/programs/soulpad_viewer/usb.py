"""The PC's USB devices, each with the guest or with nobody: brings about what the wishes say.

``manager`` is spice-gtk's UsbDeviceManager; its devices are nameless handles. They are kept as its signals bring them:
the lists that it returns free their handles twice once Python has them. Its errors are RuntimeErrors.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .devices import Device, described, may_be_given
from .wishes import Wishes, parse

DESCRIPTION = "%s\t%s\t%s\t%d\t%d"
NO_PORT = "The virtual machine has no USB port left: take another device back first."


def remembered(path: Path) -> Wishes:
    """The wishes of the viewer before; none where none ran."""
    try:
        return parse(path.read_text(errors="replace"))
    except OSError:
        return Wishes()


class Usb:
    """``changed`` is called when the list may be another one, ``tell`` with a sentence for the person."""

    def __init__(
        self,
        manager: Any,
        memory: Path,
        changed: Callable[[], None],
        tell: Callable[[str], None],
        allowed: Callable[[Device], bool] = may_be_given,
    ) -> None:
        self._manager, self._memory, self._changed, self._tell, self._allowed = manager, memory, changed, tell, allowed
        self._wishes = remembered(memory)
        self._handles: dict[Device, Any] = {}
        self._busy: set[Device] = set()
        self._acting = False
        manager.connect("device-added", lambda _, handle: self._added(handle))
        manager.connect("device-removed", lambda _, handle: self._removed(handle))
        manager.connect("device-error", lambda _, handle, error: self._lost(device_of(handle), error))

    def started(self) -> None:
        """What was there at the start has come, one by one: what comes from now on is being plugged in."""
        self._acting = True
        self.look(at_start=True)

    def devices(self) -> list[Device]:
        """Those that may be given, in a steady order."""
        return sorted(filter(self._allowed, self._handles), key=lambda device: (device.name, device.place))

    def is_given(self, device: Device) -> bool:
        """Whether the guest has it, or is about to."""
        return device in self._handles and bool(self._manager.is_device_connected(self._handles[device]))

    def look(self, at_start: bool = False) -> None:
        """Something was plugged in or out, or a port of the guest has become free: gives what is to be given."""
        if not self._acting:
            return
        devices = self.devices()
        self._wishes.there_are(frozenset(device.place for device in devices))
        for device in devices:
            if self._wishes.wanted(device, at_start) and not self.is_given(device) and self._has_port():
                self._give(device)
        self._keep()

    def toggle(self, device: Device) -> None:
        """A person wants it given, or taken back. It may be gone meanwhile."""
        if device not in self._handles or device in self._busy:
            return
        if self.is_given(device):
            self._wishes.say(device, False)
            self._take(device, lambda: self._tell(f"{device.name} is taken back."))
        elif self._has_port():
            self._wishes.say(device, True)
            self._give(device)
        else:
            self._tell(NO_PORT)
        self._keep()

    def let_go(self, then: Callable[[], None]) -> None:
        """Takes everything back and calls ``then``; the wishes stay."""
        self._acting = False
        given = {device for device in self._handles if self.is_given(device)}
        if not given:
            then()

        def one_less(device: Device) -> None:
            given.discard(device)
            if not given:
                then()

        for device in list(given):
            self._take(device, lambda device=device: one_less(device))  # type: ignore[misc]

    # --- the manager

    def _has_port(self) -> bool:
        return bool(self._manager.props.free_channels > 0)

    def _added(self, handle: Any) -> None:
        self._handles[device_of(handle)] = handle
        self.look()

    def _removed(self, handle: Any) -> None:
        self._handles.pop(device_of(handle), None)
        self.look()

    def _give(self, device: Device) -> None:
        if device in self._busy:
            return
        self._busy.add(device)

        def done(manager: Any, result: Any, *_: object) -> None:
            self._busy.discard(device)
            try:
                manager.connect_device_finish(result)
                self._tell(f"{device.name} goes to the virtual machine.")
            except RuntimeError as error:
                self._lost(device, error)
            self._changed()

        self._manager.connect_device_async(self._handles[device], None, done)

    def _take(self, device: Device, then: Callable[[], None]) -> None:
        self._busy.add(device)

        def done(manager: Any, result: Any, *_: object) -> None:
            self._busy.discard(device)
            with suppress(RuntimeError):  # it was pulled out meanwhile
                manager.disconnect_device_finish(result)
            then()
            self.look()

        self._manager.disconnect_device_async(self._handles[device], None, done)

    def _lost(self, device: Device, error: RuntimeError) -> None:
        """It cannot be given, or not any more. It is not tried again by itself: that might go on for ever."""
        self._wishes.say(device, False)
        self._tell(f"{device.name} cannot be given to the virtual machine: {getattr(error, 'message', error)}.")
        self._keep()

    def _keep(self) -> None:
        """Writes the wishes down for the viewer that may be started after this one."""
        with suppress(OSError):  # without it the next one offers what this one gave
            staged = self._memory.with_suffix(".new")
            staged.write_text(self._wishes.text())
            staged.replace(self._memory)
        self._changed()


def device_of(handle: Any) -> Device:
    """What spice-gtk knows of a device."""
    return described(handle.get_description(DESCRIPTION))
