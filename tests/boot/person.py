"""What a person does at an emulated PC: looks at the screen first, then types."""

from __future__ import annotations

from pathlib import Path

from builder.pc.running import RunningPc
from builder.pc.screen import is_blank

PATIENCE_SECONDS = 900


class Person:
    """Somebody at the keyboard of ``pc``, who answers each prompt and question once it takes keys."""

    def __init__(self, pc: RunningPc) -> None:
        self._pc = pc
        self._read_to = 0

    def at_the_prompt(self) -> None:
        """Waits for the next passphrase prompt."""
        self._wait_for("prompt")

    def types_passphrase(self, text: str) -> None:
        """Waits for the next prompt and answers it."""
        self.at_the_prompt()
        self._pc.type_text(text)
        self._pc.press("ret")

    def chooses(self, place: int, photograph: Path | None = None) -> None:
        """Waits for the next question and takes the option at ``place``, from 0."""
        self._wait_for("choice")
        if photograph:
            assert not is_blank(self._pc.screenshot(photograph))
        self._pc.press(str(place + 1))
        self._pc.press("ret")

    def _wait_for(self, question: str) -> None:
        found = self._pc.wait_for_serial(f"^SOULPAD {question}-ready", PATIENCE_SECONDS, since=self._read_to)
        self._read_to = found.end()
