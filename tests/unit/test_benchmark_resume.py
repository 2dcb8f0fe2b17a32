"""What the resume benchmark decides: what it measures, compares and says."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.lab.changed import allowed_bytes, changed_bytes, unshared
from benchmarks.lab.figures import Figures, medians, shown
from benchmarks.lab.resume_report import desktop_entry, facts, ratios, size_entry, sizes_compared, table
from benchmarks.lab.resume_request import Request
from benchmarks.lab.throttle import SLOW_STICK
from benchmarks.resume import DESKTOP, main, parser, plan_of, store_bytes
from soulpad.base.errors import BadInput
from soulpad.base.extents import Extent
from soulpad.base.units import GIB, KIB, MIB

OURS = {
    "resume_seconds": 0.5,
    "read_bytes_before_output": 10_000_000,
    "first_resume_seconds": 1.5,
    "first_read_bytes_before_output": 20_000_000,
    "suspend_seconds": 0.25,
    "suspend_written_bytes": 2_000_000,
    "changed_bytes": 1_000_000,
    "allowed_bytes": 3_100_000,
    "suspend_after_work_seconds": 4.0,
    "suspend_after_work_written_bytes": 40_000_000,
    "checkpoint_seconds": 5.0,
    "checkpoint_stopped_seconds": 0.2,
    "checkpoint_written_bytes": 48_000_000,
    "stages": {"resume": {"VM resume": 0.125}},
}
MANAGED = {
    "resume_seconds": 60.0,
    "read_bytes_before_output": 2_000_000_000,
    "suspend_seconds": 200.0,
    "suspend_written_bytes": 2_000_000_000,
}


def report() -> dict[str, object]:
    speeds = SLOW_STICK.to_fields()
    machine = {"cpu": "Some CPU", "cores": 2, "memory_mib": 8000, "kernel": "6.1", "load": 0.5}
    return {
        "machine": machine,
        "vmm": "QEMU 10.0.0",
        "runs": 3,
        "throttle": {"limits": speeds, "measured": speeds, "read_ahead_kib": {"ours": 16, "managed_save": 128}},
        "sizes": [size_entry(4096, 2048, 32, {"ours": [OURS], "managed_save": [MANAGED]})],
        "largest_to_smallest": None,
        "desktop": None,
    }


def test_ratio_says_how_many_times_more_managed_save_needs() -> None:
    assert ratios(OURS, MANAGED) == {
        "resume_seconds": 120.0,
        "read_bytes_before_output": 200.0,
        "suspend_seconds": 800.0,
        "suspend_written_bytes": 1000.0,
    }


def test_median_of_the_runs_is_taken_figure_by_figure_and_stage_by_stage() -> None:
    slow = OURS | {"resume_seconds": 9.0, "stages": {"resume": {"VM resume": 8.0}}}
    slower = OURS | {"resume_seconds": 0.75, "stages": {"resume": {"VM resume": 0.5}}}
    result = medians([slow, OURS, slower])
    assert result["resume_seconds"] == 0.75
    assert result["stages"] == {"resume": {"VM resume": 0.5}}
    assert result["read_bytes_before_output"] == 10_000_000


def test_median_of_bytes_is_whole() -> None:
    assert medians([{"read_bytes": 1}, {"read_bytes": 2}]) == {"read_bytes": 1}


def test_every_run_stays_in_the_report_beside_the_medians() -> None:
    entry = size_entry(512, 256, 32, {"ours": [OURS, OURS], "managed_save": [MANAGED, MANAGED]})
    assert entry["ours"]["each"] == [OURS, OURS]
    assert entry["managed_save"]["each"] == [MANAGED, MANAGED]


def test_table_has_a_row_a_figure_and_no_ratio_where_only_one_side_has_it() -> None:
    sizes = report()["sizes"]
    assert isinstance(sizes, list)
    made = table(sizes[0])
    ratio_cells = list(made.columns[3].cells)
    assert ratio_cells == ["120.0", "200.0", "", "", "800.0", "1000.0", *[""] * 7]
    assert list(made.columns[2].cells)[-1] == ""


def test_facts_name_runs_speeds_and_machine() -> None:
    text = "\n".join(facts(report()))
    assert "runs: 3" in text
    assert "read 38 MB/s (measured 38.0)" in text
    assert "2 cores Some CPU" in text


def test_figures_are_shown_with_their_unit() -> None:
    assert shown("read_bytes_before_output", 2_345_678) == "2.3 MB"
    assert shown("suspend_written_bytes", 2_345_678_000) == "2,345.7 MB"
    assert shown("resume_seconds", 61.234) == "61.23 s"


def test_without_options_all_sizes_and_a_desktop_are_measured_on_a_slow_stick() -> None:
    plan = plan_of(parser().parse_args([]))
    assert (plan.memory_mib, plan.desktop, plan.limits, plan.runs) == ((512, 4096, 8192), DESKTOP, SLOW_STICK, 1)
    assert DESKTOP.heap_mib + DESKTOP.filled_mib > 1000
    assert [guest.filled_mib for guest in plan.guests] == [256, 2048, 4096, 64]


@pytest.mark.parametrize(("part", "measured"), [("sizes", [512, 4096, 8192]), ("desktop", [2048])])
def test_one_part_can_be_had_alone(part: str, measured: list[int]) -> None:
    assert [guest.memory_mib for guest in plan_of(parser().parse_args(["--part", part])).guests] == measured


def test_the_largest_guest_is_compared_with_the_smallest_whatever_their_order() -> None:
    slow = OURS | {"resume_seconds": 0.6, "first_resume_seconds": 3.0}
    sizes = [
        size_entry(memory_mib, memory_mib // 2, 32, {"ours": [ours], "managed_save": [MANAGED]})
        for memory_mib, ours in ((8192, slow), (512, OURS), (4096, OURS | {"resume_seconds": 9.0}))
    ]
    compared = sizes_compared(sizes)
    assert compared == {
        "memory_mib": [512, 8192],
        "goal": 1.3,
        "resume_seconds": 1.2,
        "first_resume_seconds": 2.0,
        "read_bytes_before_output": 1.0,
    }
    assert sizes_compared(sizes[:1]) is None
    assert "1.20 times as long (first ones 2.00), goal 1.3" in "\n".join(
        facts(report() | {"sizes": sizes, "largest_to_smallest": compared})
    )


@pytest.mark.parametrize(("written", "words"), [(3_100_000, "met by 0.0 MB"), (4_200_000, "missed by 1.1 MB")])
def test_a_suspend_is_held_against_what_had_changed(written: int, words: str) -> None:
    runs: dict[str, list[Figures]] = {
        "ours": [OURS | {"suspend_written_bytes": written}],
        "managed_save": [MANAGED],
    }
    lines = facts(report() | {"sizes": [size_entry(512, 256, 32, runs)]})
    assert [line for line in lines if words in line and "512 MiB guest" in line]


def test_changed_memory_is_counted_in_pages_of_the_guest(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    content = bytearray(3 * MIB + 4096)
    before.write_bytes(content)
    content[5] = content[4095] = content[2 * MIB] = content[-1] = 1
    after.write_bytes(content)
    assert changed_bytes(before, after) == (3 * 4096, 0)
    assert changed_bytes(after, before) == (3 * 4096, 3 * 4096)
    assert changed_bytes(after, after) == (0, 0)
    assert allowed_bytes(1_000_000) == 3_100_000


def test_what_a_clone_has_in_blocks_of_its_own_is_counted_across_all_ways_of_cutting_it() -> None:
    before = [Extent(0, 1000 * KIB, 100 * KIB), Extent(200 * KIB, 5000 * KIB, 50 * KIB)]
    rewritten = [
        Extent(0, 1000 * KIB, 40 * KIB),
        Extent(40 * KIB, 9000 * KIB, 8 * KIB),  # copied on write
        Extent(48 * KIB, 1048 * KIB, 52 * KIB),
        Extent(100 * KIB, 7000 * KIB, 4 * KIB),  # a hole before
        Extent(200 * KIB, 5000 * KIB, 50 * KIB),
    ]
    assert unshared(before, rewritten) == 12 * KIB
    assert unshared(before, before) == 0 == unshared(before, [])
    assert unshared([], before) == 150 * KIB
    assert unshared(rewritten, before) == 8 * KIB


def test_the_desktop_has_a_table_of_its_own_rows() -> None:
    rounds = {"round_done_seconds": 2.0, "read_bytes_before_round": 60_000_000, "round_seconds": 1.0}
    ours = {name: value for name, value in OURS.items() if "after_work" not in name and "checkpoint" not in name}
    desktop = desktop_entry(asdict(DESKTOP), {"ours": [ours | rounds], "managed_save": [MANAGED | rounds]})
    made = table(desktop)
    assert made.title == "2048 MiB guest that browses 1024 MiB, 40 MiB of it hot"
    assert "resume to the end of the first whole round" in list(made.columns[0].cells)


def test_quick_measures_the_small_size_and_a_small_desktop_on_a_faster_store() -> None:
    plan = plan_of(parser().parse_args(["--quick"]))
    assert plan.memory_mib == (512,)
    assert plan.desktop and plan.desktop.memory_mib < DESKTOP.memory_mib
    assert plan.limits.read > SLOW_STICK.read


def test_memory_may_be_given_several_times() -> None:
    assert plan_of(parser().parse_args(["--memory", "1GiB", "--memory", "512MiB"])).memory_mib == (1024, 512)


@pytest.mark.parametrize("words", [["--memory", "64MiB"], ["--runs", "0"], ["--memory", "much"]])
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput):
        plan_of(parser().parse_args(words))


def test_without_root_it_says_so_and_ends_with_the_code_of_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--json"]) == BadInput.exit_code
    captured = capsys.readouterr()
    assert "root" in captured.err
    assert captured.out == ""


def test_store_has_room_for_checkpoints_and_for_the_other_sides_image() -> None:
    assert store_bytes(4096) > 4 * 4 * GIB


def test_request_survives_its_way_into_the_hosts_root() -> None:
    request = Request("managed_save", Path("/dev/loop9"), SLOW_STICK, 256, 32, 2)
    assert Request.from_fields(json.loads(json.dumps(request.to_fields()))) == request
