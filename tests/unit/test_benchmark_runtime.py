"""What the runtime benchmark decides: what it measures, compares and says."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab.chamber import Chamber
from benchmarks.lab.guest import GuestSerial
from benchmarks.lab.meeting import together, wait_for_the_others
from benchmarks.lab.runtime_load import busy_round, checkpoints_beside, work
from benchmarks.lab.runtime_report import (
    bytes_table,
    facts,
    per_minute,
    rates,
    slowdowns,
    speed_report,
    speed_table,
    windows,
)
from benchmarks.lab.runtime_request import KINDS, SIDES, Load, Request
from benchmarks.lab.throttle import SLOW_STICK
from benchmarks.lab.usbqueue import set_queue
from benchmarks.runtime import main, parser, plan_of, report_of
from soulpad.base.errors import BadInput, ProgramFailed, VerifyFailed
from soulpad.base.run import Process, start
from soulpad.session.periodic import LEAST_INTERVAL_SECONDS


class Silent:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        self.steps.append(name)

    def advance(self, done_bytes: int, total_bytes: int) -> None: ...


def turn(kind: str, at_seconds: float, mib: int, seconds: float = 0.5) -> dict[str, Any]:
    return {"kind": kind, "at_seconds": at_seconds, "mib": mib, "seconds": seconds}


def turns(first: int, later: int) -> list[dict[str, Any]]:
    """``first`` MiB a turn in the first ten seconds, ``later`` after that."""
    return [turn(kind, at, first if at < 10 else later) for at in range(0, 90, 2) for kind in KINDS]


def period(**changes: object) -> dict[str, Any]:
    figures: dict[str, Any] = {"seconds": 120.0, "written_bytes": 6_000_000, "read_bytes": 200_000, "left_bytes": 5}
    return figures | {"rounds": 12, "round_seconds": 1.5, "checkpoints": []} | changes


# --- what is measured


def plan(*words: str) -> Any:
    return plan_of(parser().parse_args(words))


def test_without_options_ten_minutes_are_counted_and_checkpoints_come_as_the_product_makes_them() -> None:
    load = plan().load
    assert (load.idle_minutes, load.busy_minutes) == (10, 10)
    assert load.checkpoint_seconds == LEAST_INTERVAL_SECONDS
    assert load.work_seconds > 60


def test_quick_still_works_for_more_than_a_minute_and_makes_checkpoints() -> None:
    load = plan("--quick").load
    assert (load.idle_minutes, load.busy_minutes) == (1, 1)
    assert load.work_seconds > 60
    assert load.checkpoint_seconds < 60


def test_minutes_may_be_chosen_also_for_the_quick_run() -> None:
    load = plan("--quick", "--idle-minutes", "3", "--busy-minutes", "0.5").load
    assert (load.idle_minutes, load.busy_minutes) == (3, 0.5)


def test_memory_that_the_guest_goes_round_may_be_chosen() -> None:
    assert plan("--memory-set", "16MiB").load.set_mib("memory-read") == 16


@pytest.mark.parametrize(
    "words",
    [
        ["--runs", "0"],
        ["--idle-minutes", "0"],
        ["--busy-minutes", "-1"],
        ["--busy-minutes", "nan"],
        ["--memory-set", "0"],
        ["--memory-set", "1GiB"],
        ["--memory-set", "much"],
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput):
        plan(*words)


def test_without_root_it_says_so_and_ends_with_the_code_of_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--json"]) == BadInput.exit_code
    captured = capsys.readouterr()
    assert "root" in captured.err
    assert captured.out == ""


def test_request_survives_its_way_into_the_hosts_root() -> None:
    request = Request(
        "bytes", "ours_checkpoints", Path("/dev/loop9"), Path("/dev/loop8"), SLOW_STICK, 64, Load(idle_minutes=0.5)
    )
    assert Request.from_fields(json.loads(json.dumps(request.to_fields()))) == request


def test_memory_and_disk_have_working_sets_of_their_own() -> None:
    load = Load(memory_set_mib=100, disk_set_mib=7)
    assert [load.set_mib(kind) for kind in KINDS] == [100, 100, 7, 7]


# --- what is said of the speed


def test_windows_follow_each_other_without_gap_to_the_end_of_the_work() -> None:
    first, second, third = windows(80).values()
    assert (first.from_seconds, third.to_seconds) == (0, 80)
    assert (first.to_seconds, second.to_seconds) == (second.from_seconds, third.from_seconds)


def test_rate_is_all_work_in_all_time_and_nothing_where_nothing_was_done() -> None:
    found = rates([turn("memory-write", 0, 100, 1.0), turn("memory-write", 2, 500, 2.0), turn("disk-read", 3, 0, 0.0)])
    assert found == {"memory-write": 200.0, "memory-read": 0.0, "disk-write": 0.0, "disk-read": 0.0}


def test_slowdown_says_how_many_times_as_long_ours_takes() -> None:
    plain: dict[str, float] = dict.fromkeys(KINDS, 80.0)
    found = slowdowns(plain | {"memory-write": 40.0, "disk-read": 160.0}, plain)
    assert found == {"memory-write": 2.0, "memory-read": 1.0, "disk-write": 1.0, "disk-read": 0.5, "all": 1.0}


def test_side_that_did_nothing_has_no_slowdown() -> None:
    nothing: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    assert slowdowns(nothing, nothing) == {"all": 0.0}


def test_speed_soon_after_the_resume_is_told_from_speed_later_and_the_goal_is_about_later() -> None:
    report = speed_report([{"ours": turns(10, 100), "plain": turns(100, 100)}], 90)
    ratios = {name: entry["ratios"]["all"] for name, entry in report["windows"].items()}
    assert ratios == {"first_ten_seconds": 10.0, "until_a_minute": 1.0, "after_a_minute": 1.0}
    assert report["goal_met"] is True


def test_slow_work_after_a_minute_misses_the_goal() -> None:
    assert speed_report([{"ours": turns(100, 90), "plain": turns(100, 100)}], 90)["goal_met"] is False


def test_runs_are_pooled_and_each_keeps_its_ratios() -> None:
    runs = [{"ours": turns(50, 50), "plain": turns(100, 100)}, {"ours": turns(150, 150), "plain": turns(100, 100)}]
    report = speed_report(runs, 90)
    assert report["windows"]["after_a_minute"]["ratios"]["all"] == 1.0
    assert [each["after_a_minute"]["all"] for each in report["each"]] == [2.0, 0.667]


# --- what is said of the bytes


def test_bytes_are_told_per_minute() -> None:
    found = per_minute(period())
    assert (found["written_bytes_per_minute"], found["read_bytes_per_minute"]) == (3_000_000, 100_000)
    assert (found["checkpoints"], found["longest_stop_seconds"]) == (0, 0.0)


def test_checkpoints_are_counted_with_their_time_and_the_longest_standstill() -> None:
    made = [{"flush ahead": 4.0, "VM stopped": 0.1}, {"flush ahead": 2.0, "VM stopped": 0.25, "commit": 1.0}]
    found = per_minute(period(checkpoints=made))
    assert found["checkpoints"] == 2
    assert found["checkpoint_stages"] == made
    assert found["longest_stop_seconds"] == 0.25


def report() -> dict[str, Any]:
    machine = {"cpu": "Some CPU", "cores": 2, "memory_mib": 8000, "kernel": "6.1", "load": 0.5}
    common: dict[str, Any] = {"vmm": "QEMU 10.0.0", "speeds": SLOW_STICK.to_fields()}
    speed: dict[str, Any] = {"ours": common | {"turns": turns(50, 100)}, "plain": common | {"turns": turns(100, 100)}}
    traffic: dict[str, Any] = {
        side: common | {"idle": period(written_bytes=0), "busy": period()} for side in SIDES["bytes"]
    }
    return report_of(plan("--quick"), machine, [speed], traffic)


def test_report_has_both_sides_ratios_bytes_machine_and_runs() -> None:
    made = json.loads(json.dumps(report()))
    assert (made["benchmark"], made["runs"], made["machine"]["cores"]) == ("runtime", 1, 2)
    window = made["speed"]["windows"]["after_a_minute"]
    assert window["ours"] == window["plain"] == dict.fromkeys(KINDS, 200.0)
    assert window["ratios"]["all"] == 1.0
    assert set(made["bytes"]["idle"]) == set(made["bytes"]["busy"]) == set(SIDES["bytes"])
    assert made["bytes"]["busy"]["plain"]["written_bytes_per_minute"] == 3_000_000
    assert made["throttle"]["measured"] == SLOW_STICK.to_fields()


def test_tables_have_a_row_a_figure_and_a_column_a_side() -> None:
    made = report()
    speed, traffic = speed_table(made), bytes_table(made)
    assert list(speed.columns[3].cells) == ["2.00"] * 5 + ["1.00"] * 10
    assert list(speed.columns[1].cells)[:5] == ["100.0"] * 4 + [""]
    assert list(traffic.columns[1].cells) == ["0.00", "0.10", "3.00", "0.10", "1.50 s"]


def test_a_part_that_was_left_out_is_null_and_told_nothing_of() -> None:
    assert plan("--part", "speed").parts == ("speed",)
    assert plan().parts == ("speed", "bytes")
    alone = report() | {"bytes": None}
    assert "checkpoints" not in "\n".join(facts(alone)) and "goal" in "\n".join(facts(alone))
    assert "goal" not in "\n".join(facts(report() | {"speed": None}))


def test_facts_name_goal_runs_checkpoints_speeds_and_machine() -> None:
    text = "\n".join(facts(report()))
    assert "1.05 times as long after a minute: met (1.00)" in text
    assert "runs: 1" in text
    assert "0 checkpoints" in text
    assert "read 38 MB/s (measured 38.0)" in text
    assert "2 cores Some CPU" in text


# --- what its part in the host's root does


class Port(GuestSerial):
    """A guest that answers at once."""

    def __init__(self, result: str) -> None:
        self.said: list[str] = []
        self._result = result

    def answer(self, command: str) -> dict[str, Any]:
        self.said.append(command)
        return {"command": command, "result": self._result, "seconds": 0.25}


def test_guest_is_asked_for_a_turn_or_for_once_round() -> None:
    port = Port("12 MiB")
    assert work(port, "disk-write", 64) == (12, 0.25)
    work(port, "memory-read", 128, 500)
    assert port.said == ["work disk-write 64", "work memory-read 128 500"]


@pytest.mark.parametrize("result", ["failed: No space left on device", "1 of 2 MiB are NOT as they were"])
def test_work_that_went_wrong_ends_the_benchmark(result: str) -> None:
    with pytest.raises(VerifyFailed, match=result):
        work(Port(result), "disk-read", 2)


def test_busy_guest_rewrites_its_memory_reads_it_and_writes_its_disk() -> None:
    port = Port("12 MiB")
    busy_round(port, Load(memory_set_mib=100))
    assert port.said == ["work memory-write 100", "work memory-read 100", "work disk-write 4"]


class Maker:
    """Makes checkpoints that cost nothing."""

    def __init__(self) -> None:
        self.count = 0
        self.made_one = threading.Event()

    def __call__(self) -> dict[str, float]:
        self.count += 1
        self.made_one.set()
        return {"VM stopped": 0.0}


def test_checkpoints_are_made_beside_the_block_and_none_after_it() -> None:
    make = Maker()
    with checkpoints_beside(make, 0.001) as made:
        assert make.made_one.wait(60)
    assert len(made) == make.count >= 1


def test_side_without_checkpoints_makes_none() -> None:
    make = Maker()
    with checkpoints_beside(make, None) as made:
        pass
    assert (made, make.count) == ([], 0)


def test_checkpoint_that_fails_fails_the_benchmark() -> None:
    begun = threading.Event()

    def make() -> dict[str, float]:
        begun.set()
        raise VerifyFailed("a checkpoint went wrong", "")

    with pytest.raises(VerifyFailed, match="a checkpoint"), checkpoints_beside(make, 0.001):
        assert begun.wait(60)


def test_queue_of_a_usb_disk_is_short_and_settings_that_the_kernel_lacks_are_left_out(tmp_path: Path) -> None:
    for name in ("scheduler", "nr_requests", "max_sectors_kb"):
        (tmp_path / name).touch()
    set_queue(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "scheduler": "mq-deadline",
        "nr_requests": "4",
        "max_sectors_kb": "120",
    }


# --- chambers that wait for each other


class Room(Chamber):
    """A chamber that is only a Python process; its request is the program."""

    @contextmanager
    def started(self, module: str, request: Mapping[str, Any]) -> Iterator[Process]:
        process = start([sys.executable, "-c", request["program"]], stdin=-1, stdout=-1)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


MEETS = """
import json
print(json.dumps({"next": "the work"}), flush=True)
assert input() == ""
print(json.dumps({"answer": %d}), flush=True)
"""
ENDS = "raise SystemExit(%d)"
SLEEPS = "import time; time.sleep(3600)"


def meeting(*programs: str) -> dict[str, Any]:
    requests = {str(index): {"program": program} for index, program in enumerate(programs)}
    return together(Room(Path("/root"), Path("/lib")), "some.module", requests, Silent())


def test_chambers_go_on_together_and_each_gives_its_answer() -> None:
    assert meeting(MEETS % 1, MEETS % 2) == {"0": {"answer": 1}, "1": {"answer": 2}}


def test_step_that_all_have_reached_is_told_once() -> None:
    progress = Silent()
    requests = {name: {"program": MEETS % 1} for name in "abc"}
    together(Room(Path("/root"), Path("/lib")), "some.module", requests, progress)
    assert progress.steps == ["the work"]


@pytest.mark.parametrize("others", [[MEETS % 1], [SLEEPS], [MEETS % 1, SLEEPS]])
def test_chamber_that_fails_ends_those_that_wait_for_it_and_those_at_work(others: list[str]) -> None:
    with pytest.raises(ProgramFailed, match="ended with 3"):
        meeting(*others, ENDS % 3)


def test_chamber_that_ends_without_an_answer_is_a_failure() -> None:
    with pytest.raises(ProgramFailed, match="without an answer"):
        meeting(MEETS % 1, ENDS % 0)


def test_module_in_a_chamber_says_what_follows_and_ends_when_nobody_waits_any_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123 - an end of file
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(ProgramFailed):
            wait_for_the_others("the work")
    assert json.loads(capsys.readouterr().out) == {"next": "the work"}
