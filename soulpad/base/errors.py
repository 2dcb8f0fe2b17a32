"""Errors for people: what and where, then what to do. The class owns the exit code.

The exit codes are a contract (docs/exit-codes.md, checked by a test). Library code raises;
only the command line prints and exits.
"""

from __future__ import annotations


class SoulpadError(Exception):
    """An expected failure. ``message`` is one line; ``hint`` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SoulpadError):
    """The command line itself is wrong."""

    exit_code = 2


class BadInput(SoulpadError):
    """A recipe, guest image, profile or size that cannot be used."""

    exit_code = 10


class WeakPassphrase(SoulpadError):
    """A new passphrase shorter than the SoulPad paper's 20 characters (section 3.2)."""

    exit_code = 11


class WrongPassphrase(SoulpadError):
    """No key slot opens with what was given."""

    exit_code = 12


class DeviceRefused(SoulpadError):
    """The named device is not a stick, or is in use."""

    exit_code = 20


class DeviceTooSmall(SoulpadError):
    """The stick is smaller than the image."""

    exit_code = 21


class BadImage(SoulpadError):
    """Truncated, damaged, or not one of our images."""

    exit_code = 30


class VerifyFailed(SoulpadError):
    """What was read back is not what was written."""

    exit_code = 31


class UnknownFormat(SoulpadError):
    """A file of a format version that this program does not know."""

    exit_code = 32


class NoSpace(SoulpadError):
    """The disk or the store is full."""

    exit_code = 40


class ProgramFailed(SoulpadError):
    """An outside program ended with an error. ``code``: its exit code; ``complaint``: its last line,
    without its full stop."""

    exit_code = 41

    def __init__(self, message: str, hint: str = "", *, code: int = 1, complaint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.complaint = complaint


class MissingProgram(SoulpadError):
    """An outside program is not installed; ``soulpad doctor`` lists them all."""

    exit_code = 42


class CannotResume(SoulpadError):
    """The checkpoint does not fit this PC or is damaged; it stays as it is."""

    exit_code = 50


class SuspendFailed(SoulpadError):
    """The session's memory could not be saved; the last checkpoint and the disks as they are stay."""

    exit_code = 54


class StoreDamaged(SoulpadError):
    """The parcel store is missing or cannot be read."""

    exit_code = 51


class EmulatedPcFailed(SoulpadError):
    """The emulated PC ended early or did not show what was waited for."""

    exit_code = 60


class Interrupted(SoulpadError):
    """Ended by Ctrl-C; what was half made has been removed."""

    exit_code = 130
