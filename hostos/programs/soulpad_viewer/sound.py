"""Sound on the PC's first card that is not a monitor, through ALSA; where there is none, it is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CARDS = Path("/proc/asound/pcm")
# What spice-gtk asks GStreamer for, and what answers: the plugins that would choose are not on the host.
STAND_INS = {"autoaudiosink": "alsasink", "autoaudiosrc": "alsasrc"}


def card_in(pcm: str) -> str | None:
    """The number of the first card that plays sound and is no monitor.

    Source: Linux Documentation/sound/designs/procfs.rst; a line is ``CARD-DEVICE: id : name : playback 1 : capture 1``.
    """
    for line in pcm.splitlines():
        number, _, rest = line.partition("-")
        if "playback" in rest and "HDMI" not in rest and number.isdigit():
            return str(int(number))
    return None


def sound_environment() -> dict[str, str]:
    """What ALSA is to know of the card."""
    try:
        card = card_in(CARDS.read_text())
    except OSError:
        card = None
    return {"ALSA_CARD": card} if card else {}


def use_alsa(gst: Any) -> None:
    """Has GStreamer's ALSA elements answer to the names that spice-gtk asks for. Without them it is silent."""
    gst.init(None)
    for name, real in STAND_INS.items():
        factory = gst.ElementFactory.find(real)
        loaded = factory and factory.load()
        if loaded:
            gst.Element.register(None, name, gst.Rank.NONE, loaded.get_element_type())
