"""Commanding the guest at the PC's keyboard: looked at before Enter, typed again when it did not appear."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import pytest

from builder.pc.running import WaitedInVain
from demo import stations
from demo.stations import clock_off_seconds, command_guest


@dataclass
class FakePc:
    """A PC whose screen belongs to somebody else while the first ``deaf_to`` lines are typed."""

    deaf_to: int
    log: str = ""
    typed: str = ""
    pressed: list[str] = field(default_factory=list)
    lines_typed: int = 0

    def serial(self, port: int) -> str:
        return self.log

    def press(self, *keys: str) -> None:
        self.pressed.append("+".join(keys))
        if keys == ("ctrl", "u"):
            self.typed = ""
        elif keys == ("ret",) and self.typed:
            self.log += json.dumps({"done": {"command": self.typed, "result": "done it", "seconds": 0}}) + "\n"

    def type_text(self, text: str) -> None:
        self.lines_typed += 1
        if self.lines_typed > self.deaf_to:
            self.typed += text
            self.log += json.dumps({"soul": {"counter": 1, "typed": self.typed}}) + "\n"

    def wait_for_serial(self, pattern: str, timeout_seconds: float, port: int, since: int) -> re.Match[str]:
        found = re.compile(pattern, re.MULTILINE).search(self.log, since)
        if found is None:
            raise WaitedInVain("nothing", "")
        return found


def answer(pc: FakePc, command: str) -> str:
    return command_guest(pc, command)  # type: ignore[arg-type]


def test_a_line_that_appears_is_ended_with_enter() -> None:
    pc = FakePc(deaf_to=0)
    assert answer(pc, "write a (b) c*") == "done it"
    assert pc.pressed == ["ctrl+u", "ret"]


def test_a_line_that_does_not_appear_is_typed_again() -> None:
    pc = FakePc(deaf_to=2)
    assert answer(pc, "verify") == "done it"
    assert pc.lines_typed == 3
    assert pc.pressed == ["ctrl+u"] * 3 + ["ret"]


def test_a_pc_that_never_shows_what_is_typed_is_waited_for_in_vain() -> None:
    pc = FakePc(deaf_to=99)
    with pytest.raises(WaitedInVain):
        answer(pc, "verify")
    assert pc.lines_typed == stations.TYPING_ATTEMPTS


def test_the_guests_clock_is_compared_with_the_pcs() -> None:
    class LatePc:
        def clock(self) -> float:
            return 5000.0

    assert clock_off_seconds(LatePc(), {"clock": 4000.04}) == -1000.0  # type: ignore[arg-type]
