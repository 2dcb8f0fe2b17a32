"""Power cuts below a real file system: a sample of ``make powercut``, and proof that it would notice a loss."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.debian.toolbox import toolbox
from builder.places import ROOT
from soulpad.base.run import run, start
from tests.powercut.report import CONTROLS, HEADS

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(
        os.geteuid() != 0 or not (Path("/dev/fuse").exists() and Path("/dev/loop-control").exists()),
        reason="needs root, FUSE and loop devices",
    ),
]

SEED = 20
STARTS = {"start", "resume", "rollback", "disk after crash", "log recovery", "adopt"}
PHASES = {*STARTS, "running", "checkpoint beside", "smoothing", "suspend", "prune", "shut down"}


def argv(*options: str) -> list[str]:
    return [sys.executable, "-m", "tests.powercut", "--seed", str(SEED), "--json", *options]


def cut_power(*options: str, exit_code: int) -> dict[str, Any]:
    return dict(json.loads(run(argv(*options), cwd=ROOT, ok_codes=[exit_code]).stdout))


def test_a_sample_of_power_cuts_in_every_phase_loses_and_mixes_nothing() -> None:
    report = cut_power("--cuts", "44", exit_code=0)
    assert report["violations"] == [] and report["cuts"] >= 44
    assert {phase["phase"] for phase in report["phases"] if phase["cuts"]} == PHASES
    outcomes = {word for phase in report["phases"] for name in phase["outcomes"] for word in name.split(", ")}
    assert outcomes == set(HEADS)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_device_or_a_product_that_makes_nothing_durable_is_caught(control: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    report = cut_power("--cuts", "20", "--control", control, "--keep", str(kept), exit_code=1)
    assert report["violations"]
    found = {f"{violation['told']}-{violation['seed']}.img" for violation in report["violations"]}
    assert {path.name for path in kept.iterdir()} == found


def test_killed_in_the_middle_it_leaves_no_loop_device_and_no_process(tmp_path: Path) -> None:
    toolbox()
    process = start(argv("--cuts", "400"), env={"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)})
    try:
        wait_until(lambda: loop_devices_over(tmp_path) and processes_about(tmp_path))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not loop_devices_over(tmp_path) and not processes_about(tmp_path))


def wait_until(happened: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def loop_devices_over(folder: Path) -> list[Path]:
    """Loop devices whose file lies in the folder, as the namespace of whoever set them up saw it."""
    return [path for path in Path("/sys/block").glob("loop*/loop/backing_file") if str(folder) in text_of(path)]


def processes_about(folder: Path) -> list[Path]:
    """Processes that were started with the folder's name, this one not among them."""
    mine = Path("/proc") / str(os.getpid())
    return [path for path in Path("/proc").glob("[0-9]*") if path != mine and str(folder) in text_of(path / "cmdline")]


def text_of(path: Path) -> str:
    """A file of the kernel's, or nothing when what it speaks of is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
