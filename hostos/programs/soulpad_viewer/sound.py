"""Which sound card is used: the PC's first one that is not a monitor; where there is none, it is silent."""

from __future__ import annotations

from pathlib import Path

CARDS = Path("/proc/asound/pcm")


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
