"""Keyboard layouts: names that ``loadkeys`` knows (Debian's console-data), and names that people know.

People's names use only what the kernel's built-in font can draw (code page 437): no other font is loaded so early.
"""

from __future__ import annotations

KERNEL_DEFAULT = "us"
"""The layout built into Debian's kernel: nothing needs to be loaded for it."""

LAYOUTS = (
    ("us", "English (US)"),
    ("uk", "English (UK)"),
    ("be-latin1", "Belge / Belgisch"),
    ("br-abnt2", "Português (Brasil)"),
    ("cz-us-qwertz", "Czech"),
    ("dk-latin1", "Dansk"),
    ("de-latin1-nodeadkeys", "Deutsch"),
    ("sg-latin1", "Deutsch (Schweiz)"),
    ("es", "Español"),
    ("la-latin1", "Español (América Latina)"),
    ("fr-latin9", "Français"),
    ("fr_CH-latin1", "Français (Suisse)"),
    ("gr-utf8", "Greek"),
    ("il-heb", "Hebrew"),
    ("it", "Italiano"),
    ("jp106", "Japanese"),
    ("hu", "Magyar"),
    ("nl", "Nederlands"),
    ("no-latin1", "Norsk"),
    ("pl", "Polski"),
    ("pt-latin1", "Português"),
    ("ru", "Russian"),
    ("fi-latin1", "Suomi"),
    ("se-latin1", "Svenska"),
    ("trqu", "Türkçe"),
    ("ua-utf", "Ukrainian"),
)

ALIASES = {
    "en": "us", "gb": "uk", "be": "be-latin1", "br": "br-abnt2", "cz": "cz-us-qwertz", "dk": "dk-latin1",
    "de": "de-latin1-nodeadkeys", "ch": "sg-latin1", "latam": "la-latin1", "fr": "fr-latin9", "gr": "gr-utf8",
    "il": "il-heb", "jp": "jp106", "no": "no-latin1", "pt": "pt-latin1", "fi": "fi-latin1", "se": "se-latin1",
    "tr": "trqu", "ua": "ua-utf",
}  # fmt: skip
"""The two-letter names that desktops use, so that an enrolment may name either."""


def canonical(name: str) -> str:
    """The ``loadkeys`` name for what the enrolment wrote, or the kernel's default.

    The description of a stick can be changed by anyone who holds it: a name that is not a plain word
    (a path, an option) is not passed on.
    """
    name = ALIASES.get(name, name)
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    usable = name[:1].isalnum() and plain.isascii() and plain.isalnum() and len(name) <= 40
    return name if usable else KERNEL_DEFAULT


class Keyboard:
    """Which layout is in force, which is on its way, and which there are."""

    def __init__(self, enrolled: str) -> None:
        first = canonical(enrolled)
        self.layouts = list(LAYOUTS)
        if first not in dict(LAYOUTS):
            self.layouts.insert(0, (first, first))
        self.loaded = KERNEL_DEFAULT
        self.wanted = first

    @property
    def changing(self) -> bool:
        """Keys pressed now would be read in the wrong layout."""
        return self.wanted != self.loaded

    @property
    def index(self) -> int:
        """The wanted layout's place in ``layouts``."""
        return [name for name, _ in self.layouts].index(self.wanted)

    @property
    def title(self) -> str:
        """The wanted layout as people call it."""
        return self.layouts[self.index][1]

    def want(self, index: int) -> None:
        """Choose the layout at a place of ``layouts``."""
        self.wanted = self.layouts[index][0]

    def settled(self, succeeded: bool) -> None:
        """``loadkeys`` has ended; on failure the layout before stays in force."""
        if succeeded:
            self.loaded = self.wanted
        else:
            self.wanted = self.loaded
