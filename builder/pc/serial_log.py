"""What came out of a serial port so far, as a person would read it: without terminal control sequences."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

# ECMA-48: CSI sequences, OSC strings (systemd 257 sends them), two-byte escapes
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]|[\r\0\x07]")
_LONGEST_SEQUENCE = 256
_LONGEST_LINE = 200


class SerialLog:
    """Reads a log file that QEMU appends to. The text only grows: a position in it stays what it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._raw_tail = ""
        self._text = ""

    def text(self) -> str:
        """All that came out so far."""
        self._raw_tail += self._decoder.decode(self._new_bytes())
        whole = self._whole_part(self._raw_tail)
        self._raw_tail = self._raw_tail[len(whole) :]
        self._text += _CONTROL.sub("", whole)
        return self._text

    def tail(self, lines: int) -> str:
        """The last ``lines`` lines that are not empty, each cut to what a terminal shows in a row or two."""
        spoken = [line.rstrip() for line in self.text().splitlines() if line.strip()]
        return "\n".join(line[:_LONGEST_LINE] for line in spoken[-lines:])

    def _new_bytes(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_bytes)
                content = file.read()
        except FileNotFoundError:
            return b""
        self._read_bytes += len(content)
        return content

    @staticmethod
    def _whole_part(raw: str) -> str:
        """``raw`` up to a control sequence at its end of which more may come."""
        start = raw.rfind("\x1b")
        if start < 0 or len(raw) - start > _LONGEST_SEQUENCE or _CONTROL.match(raw, start):
            return raw
        return raw[:start]
