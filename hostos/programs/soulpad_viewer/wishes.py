"""Which of the PC's USB devices the guest is to have: decisions only, no USB.

What is plugged in while the session runs goes to the guest if it is of a kind that people plug in for a while; anything
else, and what was there before the session, goes when a person says so. What the guest had, it gets back: after the
device was pulled out and put in again, and after the viewer was started anew.

They are kept in a file of the running host, one device a line: ``given|kept PLACE MODEL``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .devices import Device, is_common

GIVEN, KEPT = "given", "kept"


@dataclass
class Wishes:
    """By place: the model of a device, and whether the guest is to have it. ``present``: the places where something is
    plugged in now. ``fresh``: no viewer ran before this one; what is found at its start was there before the session.
    ``common``: whether a device is of a kind that people plug in for a while."""

    known: dict[str, tuple[str, bool]] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    fresh: bool = True
    common: Callable[[Device], bool] = is_common

    def there_are(self, places: frozenset[str]) -> None:
        """What is plugged in now. What is not, and was not given, is forgotten."""
        self.present = places
        self.known = {place: entry for place, entry in self.known.items() if place in places or entry[1]}

    def wanted(self, device: Device, at_start: bool = False) -> bool:
        """Whether a device that is there now is to be given; from now on it is known."""
        model, given = self.known.get(device.place, ("", False))
        if model != device.model:
            given = self._missed(device.model) or (not (at_start and self.fresh) and self.common(device))
        self.known[device.place] = (device.model, given)
        return given

    def _missed(self, model: str) -> bool:
        """Whether the guest had one like this at a place where nothing is now; that one is not missed any more."""
        gone = [place for place, entry in self.known.items() if entry == (model, True) and place not in self.present]
        for place in gone[:1]:
            del self.known[place]
        return bool(gone)

    def say(self, device: Device, given: bool) -> None:
        """A person has decided, or the device."""
        self.known[device.place] = (device.model, given)

    def text(self) -> str:
        """For the next viewer."""
        return "".join(f"{GIVEN if given else KEPT} {place} {model}\n" for place, (model, given) in self.known.items())


def parse(text: str) -> Wishes:
    """The wishes in a file's text; a line that is none is passed over."""
    wishes = Wishes(fresh=False)
    for line in text.splitlines():
        match line.split():
            case [("given" | "kept") as word, place, model]:
                wishes.known[place] = (model, word == GIVEN)
    return wishes
