"""Stage times, the log on the stick, and the milestones for whoever watches from outside."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from soulpad.session import report, stages
from soulpad.session.stages import StageClock, append_to_log, boot_stages, read_marks


class Hands:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    turned = Hands()
    monkeypatch.setattr(time, "monotonic", turned)
    return turned


def test_each_stage_begins_where_the_last_one_ended(hands: Hands) -> None:
    clock = StageClock("resume", began=hands.now)
    for seconds, stage in ((1.5, "unlock"), (0.25, "grow"), (2.0, "VM resume")):
        hands.now += seconds
        clock.done(stage)
    assert clock.seconds == {"unlock": 1.5, "grow": 0.25, "VM resume": 2.0}
    assert list(clock.seconds) == ["unlock", "grow", "VM resume"]


def test_a_persons_thinking_belongs_to_no_stage(hands: Hands) -> None:
    clock = StageClock("resume", began=hands.now)
    hands.now += 60
    clock.skip()
    hands.now += 1
    clock.done("unlock")
    assert clock.seconds == {"unlock": 1.0}


def test_a_stage_that_happens_twice_is_added_up(hands: Hands) -> None:
    clock = StageClock("suspend", began=hands.now)
    for _ in range(2):
        hands.now += 0.5
        clock.done("flush")
    assert clock.seconds == {"flush": 1.0}


def test_boot_stages_are_the_differences_between_the_marks() -> None:
    marks = {"initramfs-start": 1.0, "root-mounted": 3.5, "prompt-drawn": 4.0}
    assert boot_stages(marks, 7.126) == {
        "firmware and boot loader": 7.13,
        "kernel": 1.0,
        "initramfs": 2.5,
        "host to prompt": 0.5,
    }


def test_a_boot_stage_that_was_not_marked_is_left_out() -> None:
    assert boot_stages({"initramfs-start": 1.0, "prompt-drawn": 4.0}, None) == {"kernel": 1.0, "host to prompt": 3.0}
    assert boot_stages({}, None) == {}
    assert boot_stages({"something-else": 9.0}, 0.0) == {"firmware and boot loader": 0.0}


def test_marks_are_read_and_half_written_lines_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    assert read_marks(path) == {}
    path.write_text("initramfs-start 1.25\n\nroot-mounted\nprompt-drawn 3.5\n")
    assert read_marks(path) == {"initramfs-start": 1.25, "prompt-drawn": 3.5}


def test_a_pc_without_the_counters_library_has_no_time_before_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "TSC_LIBRARY", tmp_path / "none.so")
    assert stages.seconds_before_kernel() is None


def test_the_log_grows_by_one_json_line_a_session(tmp_path: Path) -> None:
    path = tmp_path / "log" / "stages.jsonl"
    append_to_log(path, StageClock("resume", {"unlock": 1.5}), "uuid-1", 4)
    append_to_log(path, StageClock("suspend", {"flush": 0.5}), "uuid-1", 5)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["kind"], first["generation"], first["seconds"]) == ("resume", 4, {"unlock": 1.5})
    assert (second["kind"], second["parcel"], second["seconds"]) == ("suspend", "uuid-1", {"flush": 0.5})


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("quiet soulpad.report=ttyS0 ro\n", "ttyS0"),
        ("soulpad.report=a=b", "a=b"),
        ("soulpad.report=", ""),
        ("soulpad.report", None),
        ("xsoulpad.report=ttyS0", None),
        ("soulpad.reporter=ttyS0", None),
        ("", None),
    ],
)
def test_a_value_is_taken_from_the_kernels_command_line(tmp_path: Path, line: str, value: str | None) -> None:
    path = tmp_path / "cmdline"
    path.write_text(line)
    assert report.command_line_value("soulpad.report", path) == value


def test_without_a_command_line_there_is_no_value(tmp_path: Path) -> None:
    assert report.command_line_value("soulpad.report", tmp_path / "none") is None
