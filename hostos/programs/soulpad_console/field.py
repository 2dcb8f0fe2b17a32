"""The passphrase being typed."""

from __future__ import annotations

LONGEST_CHARACTERS = 512
BULLET = "•"  # in the kernel's built-in font


class Field:
    """Characters in the order typed. Kept one by one, so that no partial passphrase is copied about as a string."""

    def __init__(self) -> None:
        self._characters: list[str] = []
        self.visible = False

    def __len__(self) -> int:
        return len(self._characters)

    def type(self, character: str) -> bool:
        """Adds a character; False when the passphrase is as long as it may get."""
        if len(self._characters) >= LONGEST_CHARACTERS:
            return False
        self._characters.append(character)
        return True

    def rub_out(self) -> None:
        """Takes the last character away, if there is one."""
        del self._characters[-1:]

    def clear(self) -> None:
        """Empties the field."""
        self._characters.clear()

    def value(self) -> str:
        """The whole passphrase."""
        return "".join(self._characters)

    def shown(self, width: int) -> str:
        """What the screen shows: the end of the passphrase, or as many bullets."""
        tail = self._characters[-width:]
        return "".join(tail) if self.visible else BULLET * len(tail)
