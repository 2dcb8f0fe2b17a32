"""What the PC's keyboards and mice say to the session: a key combination, or for a long time nothing.

Ctrl+Alt+End and a long silence end in the power-off that the power button ends in, and so in a suspend; Ctrl+Alt+Home
asks for a checkpoint. The viewer reads the same devices; evdev hands every event to each of its readers.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from soulpad.session.report import report
from soulpad.session.stopping import ask_for_power_off

# linux/input-event-codes.h: EV_KEY; KEY_LEFTCTRL, KEY_LEFTALT, KEY_END and KEY_HOME
EV_KEY = 1
COMBINATION = frozenset({29, 56, 107})
SAVE_COMBINATION = frozenset({29, 56, 102})
RESCAN_SECONDS = 3.0


class InputDevice(Protocol):
    """What of an ``evdev.InputDevice`` is used; the reading methods raise OSError once it was pulled out."""

    path: str

    def fileno(self) -> int: ...
    def read(self) -> Iterable[object]: ...
    def active_keys(self) -> list[int]: ...
    def capabilities(self) -> Mapping[int, list[int]]: ...
    def close(self) -> None: ...


def watch(suspend_when_idle_minutes: int | None, save: Callable[[], None]) -> None:
    """Starts a thread that powers the PC off on Ctrl+Alt+End, or after so many minutes without a key or mouse, and
    calls ``save``, which returns at once, on Ctrl+Alt+Home."""
    threading.Thread(target=_watch, args=(suspend_when_idle_minutes, save), name="input", daemon=True).start()


def _watch(idle_minutes: int | None, save: Callable[[], None]) -> None:
    import evdev  # late: it takes long to load and nothing waits for it

    inputs = Inputs(evdev.list_devices, evdev.InputDevice)
    if until_over(inputs.turn, idle_minutes and idle_minutes * 60, save=save) == "idle":
        report("idle", minutes=idle_minutes)
    ask_for_power_off()


def until_over(
    turn: Callable[[], frozenset[int] | None],
    idle_seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
    save: Callable[[], None] = lambda: None,
) -> str:
    """Takes turns until the session is to end: ``keys`` or ``idle`` says why.

    A turn returns the keys that are held if anything was touched during it, and None when nothing was.
    """
    touched_at = clock()
    saving = False
    while True:
        held = turn()
        if held is not None:
            touched_at = clock()
            if held >= COMBINATION:
                return "keys"
            asked, saving = not saving and held >= SAVE_COMBINATION, held >= SAVE_COMBINATION
            if asked:  # once, however long the keys are held
                save()
        if idle_seconds and clock() - touched_at >= idle_seconds:
            return "idle"


class Inputs:
    """All devices with keys or buttons, also those that are plugged in later. ``found`` lists the paths there are.

    Keyboards are waited for. Mice are asked once a turn: a thousand of their events a second need not wake anybody.
    """

    def __init__(self, found: Callable[[], list[str]], opened: Callable[[str], InputDevice]) -> None:
        self._found = found
        self._opened = opened
        self._known: set[str] = set()
        self._keyboards = selectors.DefaultSelector()
        self._mice = selectors.DefaultSelector()

    def turn(self, timeout_seconds: float = RESCAN_SECONDS) -> frozenset[int] | None:
        """Waits until a key is pressed, but not for ever: then new devices are looked for."""
        self._look_for_new()
        held: set[int] = set()
        touched = False
        for selector, patience in ((self._keyboards, timeout_seconds), (self._mice, 0)):
            for key, _events in selector.select(patience):
                try:
                    touched = any(True for _event in key.data.read()) or touched
                    held.update(key.data.active_keys())
                except OSError:  # it was pulled out
                    selector.unregister(key.data)
                    self._known.discard(key.data.path)
                    key.data.close()
        return frozenset(held) if touched else None

    def _look_for_new(self) -> None:
        paths = set(self._found())
        for path in paths - self._known:
            with suppress(OSError):  # it came and went
                self._take(self._opened(path))
        self._known = paths

    def _take(self, device: InputDevice) -> None:
        """A lid, a jack or a laptop's sense of position has no keys, and speaks without anybody being there."""
        keys = device.capabilities().get(EV_KEY)
        if keys:
            selector = self._keyboards if COMBINATION.issubset(keys) else self._mice
            selector.register(device, selectors.EVENT_READ, device)
        else:
            device.close()
