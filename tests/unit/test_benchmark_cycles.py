"""What the cycles benchmark's guest does, what is measured, and what is said of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cycles import PRODUCT, QUICK_EXTENTS, VARIANTS, live_through, main, parser, plan_of
from benchmarks.lab.cycles_load import JOURNAL_BYTES, PAGE_BYTES, Load, Span, bytes_in_pages
from benchmarks.lab.cycles_report import compared, facts, flat, summary, table
from benchmarks.lab.cycles_request import Request, Side
from benchmarks.lab.throttle import SLOW_STICK
from soulpad.base.errors import BadInput, ProgramFailed
from soulpad.base.progress import Silent
from soulpad.base.units import KIB, MIB
from soulpad.session.smoothing import AIM_EXTENTS
from soulpad.session.volume import READ_AHEAD_KIB

LOAD = Load()


def lived(cycles: int, growth: int) -> list[dict[str, Any]]:
    """Cycles whose memory grows by so many extents each, and of which every third has a checkpoint."""
    return [
        {
            "cycle": cycle,
            "ram_extents": 1000 + growth * cycle,
            "begin_seconds": 0.5,
            "written_bytes": 30 * MIB,
            "changed_bytes": 20 * MIB,
        }
        | ({"pause_seconds": 0.25} if cycle % 3 == 2 else {})
        for cycle in range(cycles)
    ]


@pytest.mark.parametrize("cycle", [0, 7, 49])
def test_guest_writes_whole_pages_within_what_it_has(cycle: int) -> None:
    for spans, end in (
        (LOAD.memory_spans(cycle), LOAD.filled_mib * MIB),
        (LOAD.disk_spans(cycle), LOAD.disk_mib * MIB),
    ):
        assert all(0 <= span.offset_bytes < span.offset_bytes + span.length_bytes <= end for span in spans)
        assert all(span.offset_bytes % PAGE_BYTES == span.length_bytes % PAGE_BYTES == 0 for span in spans)


def test_guest_does_the_same_at_every_run_and_something_else_in_every_cycle() -> None:
    assert LOAD.memory_spans(3) == Load().memory_spans(3) != LOAD.memory_spans(4)
    assert LOAD.disk_spans(3) == Load().disk_spans(3) != LOAD.disk_spans(4)
    assert LOAD.touched_pages(3) == Load().touched_pages(3) != LOAD.touched_pages(4)


def test_most_of_the_hot_set_is_written_again_in_each_cycle() -> None:
    hot = set(LOAD.hot_spans())
    for cycle in (1, 2):
        assert 0.6 < len(hot & set(LOAD.memory_spans(cycle))) / len(hot) < 0.9


def test_journal_goes_round_and_files_stay_out_of_it() -> None:
    first, again = LOAD.disk_spans(0)[0], LOAD.disk_spans(64)[0]
    assert first == again and first.length_bytes == JOURNAL_BYTES // 64
    assert all(span.offset_bytes >= JOURNAL_BYTES for span in LOAD.disk_spans(0)[1:])


def test_pages_that_are_written_twice_are_changed_once() -> None:
    assert bytes_in_pages([Span(0, 8 * KIB), Span(4 * KIB, 8 * KIB), Span(1, 1)]) == 12 * KIB


def test_figures_that_stay_and_figures_that_grow_are_told_apart() -> None:
    entry = summary(lived(50, growth=500))
    assert entry["first"]["ram_extents"] == 1000 + 500 * 4.5
    assert entry["last"]["ram_extents"] == 1000 + 500 * 44.5
    assert entry["last_to_first"]["ram_extents"] == 7.15
    assert entry["last_to_first"]["begin_seconds"] == 1.0
    assert entry["last"]["amplification"] == 1.5
    judged = flat(entry)
    assert (judged["ram_extents"], judged["begin_seconds"], judged["pause_seconds"]) == (False, True, True)


def test_a_few_cycles_are_enough_for_a_report_even_without_a_checkpoint() -> None:
    entry = summary(lived(2, growth=1))
    assert "pause_seconds" not in entry["first"]
    assert table("few", entry).row_count > 5


def test_every_other_variant_is_compared_with_the_products() -> None:
    found = {"product": summary(lived(12, growth=0)), "other": summary(lived(12, growth=1000))}
    ratios = compared(found, "product")
    assert list(ratios) == ["other"]
    assert ratios["other"]["ram_extents"] > 5


@pytest.mark.parametrize(("growth", "words"), [(0, "all figures stay flat"), (900, "grows on: extents of the memory")])
def test_what_goes_on_growing_is_named_below_the_tables(growth: int, words: str) -> None:
    variants = {"product": summary(lived(12, growth))}
    report = {
        "machine": {"cpu": "Some CPU", "cores": 2, "memory_mib": 8000, "kernel": "6.1", "load": 0.5},
        "cycles": 12,
        "load": LOAD.to_fields(),
        "limits": SLOW_STICK.to_fields(),
        "product": "product",
        "ratios_to_product": {},
        "flat": flat(variants["product"]),
    }
    text = "\n".join(facts(report))
    assert words in text
    assert "read 38 MB/s, write 10 MB/s" in text
    assert "not throttled" in "\n".join(facts(report | {"limits": None}))


def test_without_options_fifty_cycles_of_every_variant_are_lived_through_on_a_slow_stick() -> None:
    plan = plan_of(parser().parse_args([]))
    assert (plan.variants, plan.limits, plan.cycles, plan.load) == (VARIANTS, SLOW_STICK, 50, LOAD)
    assert (PRODUCT.read_ahead_kib, PRODUCT.smooth_extents) == (READ_AHEAD_KIB, AIM_EXTENTS)


def test_the_product_is_measured_beside_whatever_is_asked_for() -> None:
    plan = plan_of(parser().parse_args(["--variant", "never smoothed", "--quick"]))
    assert [variant.name for variant in plan.variants] == ["product", "never smoothed"]
    assert [variant.smooth_extents for variant in plan.variants] == [QUICK_EXTENTS, 0]
    assert plan.limits is None


@pytest.mark.parametrize("words", [["--cycles", "0"], ["--variant", "btrfs"]])
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(BadInput):
        plan_of(parser().parse_args(words))


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--json"]) == BadInput.exit_code
    captured = capsys.readouterr()
    assert "root" in captured.err and captured.out == ""


@pytest.mark.parametrize("limits", [SLOW_STICK, None])
def test_request_survives_its_way_into_the_other_process(limits: Any) -> None:
    request = Request((Side(PRODUCT, Path("/dev/loop9"), Path("/tmp/root")),), LOAD, limits, 50, 3)
    assert Request.from_fields(json.loads(json.dumps(request.to_fields()))) == request


def test_cycles_that_end_early_are_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cycles.inside_argv", lambda request: ["echo", '{"cycle": 0, "variant": "product"}'])
    request = Request((Side(PRODUCT, Path("/dev/loop9"), Path("/tmp/root")),), LOAD, None, 2, 3)
    with pytest.raises(ProgramFailed, match="ended early"):
        live_through(request, Silent())
