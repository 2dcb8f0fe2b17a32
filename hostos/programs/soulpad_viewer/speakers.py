"""What answers when spice-gtk asks GStreamer for a loudspeaker and a microphone: ALSA, each with a volume of its own.

The plugins that would choose are not on the host. The volume is the guest's: QEMU leaves it to the viewer, and ALSA's
elements have none, so that without it a microphone which is muted in the guest would go on being heard there.
"""

from __future__ import annotations

from typing import Any

from .toolkit import Gst


class Loudspeaker(Gst.Bin):  # type: ignore[misc]
    """Stands in for ``autoaudiosink``."""

    __gtype_name__ = "SoulpadLoudspeaker"

    def __init__(self) -> None:
        super().__init__()
        volume, _card = parts(self, "volume", "alsasink")
        self.add_pad(Gst.GhostPad.new("sink", volume.get_static_pad("sink")))


class Microphone(Gst.Bin):  # type: ignore[misc]
    """Stands in for ``autoaudiosrc``."""

    __gtype_name__ = "SoulpadMicrophone"

    def __init__(self) -> None:
        super().__init__()
        _card, volume = parts(self, "alsasrc", "volume")
        self.add_pad(Gst.GhostPad.new("src", volume.get_static_pad("src")))


def parts(whole: Any, first: str, second: str) -> tuple[Any, Any]:
    """Two elements in a bin, the one leading to the other."""
    elements = Gst.ElementFactory.make(first, None), Gst.ElementFactory.make(second, None)
    for element in elements:
        whole.add(element)
    elements[0].link(elements[1])
    return elements


def use_alsa() -> None:
    """Before the session is made. Where GStreamer lacks an element, it stays silent."""
    Gst.init(None)
    if not all(map(Gst.ElementFactory.find, ("volume", "alsasink", "alsasrc"))):
        return
    for kind, name in ((Loudspeaker, "autoaudiosink"), (Microphone, "autoaudiosrc")):
        kind.set_metadata(name, "Audio", kind.__doc__, "SoulPad")
        Gst.Element.register(None, name, Gst.Rank.NONE, kind)
