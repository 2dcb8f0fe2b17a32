"""The benchmark of backups: how its series is laid, what it says of the sides, and what it measures by."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from benchmarks import data
from benchmarks.checkin import main, parser
from benchmarks.lab import metered
from benchmarks.lab.checkin_report import facts, goals, series_entry, tables
from benchmarks.lab.checkin_series import lay
from benchmarks.lab.checkin_sides import stored_bytes
from benchmarks.lab.differencing import PAGE_BYTES, differenced_bytes
from benchmarks.lab.figures import Figures


def figures(seconds: float, stored: int) -> Figures:
    return {"seconds": seconds, "cpu_seconds": seconds, "stored_bytes": stored, "peak_bytes": 1 << 20, "said": "5"}


def versions(seconds: float, *stored: int) -> list[Figures]:
    return [figures(seconds, one) for one in stored]


def report() -> Figures:
    run = {"ours": versions(1, 100, 10), "restic": versions(20, 90, 40), "borg": versions(5, 150, 10)}
    entry = series_entry(["first", "light day"], [run])
    memories = entry | {"memory_bytes": [50, 10, 10], "differenced_bytes": [60, 50, 50]}
    return {
        "machine": {"cores": 2, "cpu": "a CPU", "memory_mib": 1, "kernel": "6", "load": 0.1},
        "runs": 1,
        "peers": {"restic": "0.18", "borg": "1.2"},
        "disks": entry,
        "memories": memories,
        "goals": goals(entry, memories),
    }


def test_goals_compare_with_restic_with_the_best_peer_and_with_differencing() -> None:
    found = {entry["what"].split(",")[0]: (entry["found"], entry["met"]) for entry in report()["goals"]}
    assert found == {
        "a light day": (0.05, True),
        "stored of the disk's versions": (round(110 / 130, 3), True),
        "stored of later memories": (0.2, True),
    }


def test_ratios_say_how_many_times_more_a_peer_needs() -> None:
    assert report()["disks"]["versions"][1]["ratios"]["restic"] == {
        "seconds": 20, "cpu_seconds": 20, "stored_bytes": 4, "peak_bytes": 1,
    }  # fmt: skip


def test_a_report_is_json_and_has_a_table_for_each_version_and_the_goals() -> None:
    json.dumps(report())
    assert len(tables(report())) == 5 and any("restic 0.18" in line for line in facts(report()))


def test_the_series_is_laid_as_it_is(tmp_path: Path) -> None:
    chance = random.Random(1)
    contents = [bytes(8192), chance.randbytes(5000), chance.randbytes(3 << 20)]
    contents.append(contents[2][: 1 << 20] + bytes(70000) + contents[2][(1 << 20) + 70000 : 2 << 20])
    for number, content in enumerate(contents):
        (tmp_path / f"disk-{number}").write_bytes(content)
    store = tmp_path / "store"
    store.mkdir()
    folders = lay(tmp_path, [{"disk": f"disk-{number}"} for number in range(4)], store)
    assert [(folder / "disk").read_bytes() for folder in folders] == contents
    assert stored_bytes(store) == sum(map(len, contents)) and stored_bytes(tmp_path / "none") == 0


def test_differencing_counts_each_page_once_and_zeros_never(tmp_path: Path) -> None:
    pages = [random.Random(number).randbytes(PAGE_BYTES) for number in range(3)]
    memories = [tmp_path / "one", tmp_path / "other"]
    memories[0].write_bytes(pages[0] + bytes(PAGE_BYTES) + pages[0])
    memories[1].write_bytes(pages[1] + pages[0] + pages[2])
    assert differenced_bytes(memories) == [PAGE_BYTES, 2 * PAGE_BYTES]


def test_metering_tells_time_and_memory_of_the_program_and_what_it_said(tmp_path: Path) -> None:
    metered.main(tmp_path / "out", [sys.executable, "-c", "print(len(bytes(90_000_000)))"])
    found = json.loads((tmp_path / "out").read_text())
    assert found["said"] == "90000000\n" and found["peak_bytes"] > 30_000_000 and found["seconds"] > 0


def test_the_series_is_made_anew_when_a_recipe_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = {data.FULL.key, data.QUICK.key, data.Recipe(data.QUICK.disk, 256).key}
    (tmp_path / "other.sh").write_text("true\n")
    monkeypatch.setattr(data, "RECIPES", tmp_path)
    assert len(keys | {data.QUICK.key}) == 4


def test_no_runs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "0"]) != 0
    assert "must be a run" in capsys.readouterr().err
    assert parser().parse_args(["--quick"]).runs == 1
