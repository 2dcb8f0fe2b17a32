"""The console's arguments. Parsed by hand: argparse costs a tenth of the way to the prompt."""

from __future__ import annotations


class Options:
    """Where things are; every path can be given so that a test needs no real PC."""

    def __init__(self) -> None:
        self.keyboard = "us"
        """The layout used at enrolment, a name of ``loadkeys``."""
        self.socket = "/run/soulpad/console.sock"
        self.kmsg = "/dev/kmsg"
        self.marks = "/run/soulpad/marks"
        """Where the boot's milestones are noted, for the session's stage times."""
        self.cmdline = "/proc/cmdline"
        self.dev = "/dev"
        """The folder of the serial device that ``soulpad.report=`` names."""
        self.loadkeys = "/usr/bin/loadkeys"
        self.systemctl = "/usr/bin/systemctl"
        self.systemd_up = "/run/systemd/system"
        """Exists when systemd runs as process 1 (sd_booted(3))."""
        self.power_off_after_seconds = "8"
        """How long a confirmed F4 waits for the session service to ask for something."""


def parse(words: list[str]) -> tuple[Options, list[str]]:
    """The options of ``--name value`` words, and the words that mean nothing.

    Nothing here raises: a prompt with a default beats no prompt.
    """
    options, unknown = Options(), []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in vars(options) or not (equals or rest):
            unknown.append(word)
            continue
        setattr(options, name, value if equals else rest.pop(0))
    return options, unknown


def seconds(text: str, default: float) -> float:
    """A number of seconds, or ``default`` when the text is none."""
    try:
        return float(text)
    except ValueError:
        return default
