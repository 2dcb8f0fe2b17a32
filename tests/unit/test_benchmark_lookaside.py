"""What the lookaside benchmark decides: links, situations, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.lab.lookaside_inside import check_out
from benchmarks.lab.lookaside_state import IMAGE, make_state
from benchmarks.lab.slowlink import LINKS, FarComputer, Link, delaying, limiting, linking
from benchmarks.lookaside import (
    ISR_BYTES,
    RIGHT,
    SITUATIONS,
    Plan,
    cell_of,
    main,
    parser,
    plan_of,
    report_of,
    request_for,
    rounds,
    served,
)
from lookaside.domain import Domain
from soulpad.base.errors import BadInput
from soulpad.base.units import MIB

COMPUTER = FarComputer("away", "slow0", "127.0.0.1", "127.0.0.1")


def test_the_links_are_isrs_four() -> None:
    assert [link.name for link in LINKS] == ["100 Mb/s", "10 Mb/s", "1 Mb/s", "0.1 Mb/s"]
    plan = plan_of(parser().parse_args(["--links", "1,0.1", "--state", "2MiB"]))
    assert (plan.state_bytes, [link.delay_milliseconds for link in plan.links]) == (2 * MIB, [10, 100])
    with pytest.raises(BadInput, match="names a link"):
        plan_of(parser().parse_args(["--links", "56k"]))


def test_both_ends_of_a_link_are_limited_and_one_delays() -> None:
    link = Link(1_000_000, 10)
    here, there = limiting("away", "slow0", link)
    assert "1000000bit" in here and "1000000bit" in there
    assert here[:5] == ["tc", "qdisc", "replace", "dev", "slow0"]
    assert there[:3] == ["tc", "-n", "away"] and "slow0f" in there
    assert delaying("slow0", link)[-4:] == ["delay", "10ms", "limit", "10000"]
    addresses = [word for argv in linking("away", "slow0", "198.18.1.1") for word in argv if "/30" in word]
    assert addresses == ["198.18.1.1/30", "198.18.1.2/30"]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_checks_out_the_newer_version(tmp_path: Path, situation: str) -> None:
    domain = Domain.new()
    state = make_state(tmp_path, domain, MIB // 2)
    with served(state.repository.root) as repository, served(state.repository.root) as jukebox:
        request = request_for(situation, COMPUTER, state, repository.server_port, jukebox.server_port)
        request |= {"key": domain.key.reveal().hex(), "target": str(tmp_path / "target")}
        figures = check_out(json.loads(json.dumps(request)))
    assert (tmp_path / "target").read_bytes() == (state.newer / IMAGE).read_bytes()
    by_source = {source["name"]: source["chunks"] for source in figures["sources"]}
    expected = {
        "nothing": {"repository": 4},
        "stale stick": {"stick": 3, "repository": 1},
        "right stick": {"stick": 4},
        "jukebox": {"jukebox": 4},
    }
    assert {name: count for name, count in by_source.items() if count} == expected[situation]
    assert (figures["slow_link_bytes"] > 0) == (situation in ("nothing", "stale stick"))


@pytest.mark.parametrize(("state_bytes", "ratio"), [(ISR_BYTES, 10.0), (MIB, None)])
def test_isrs_seconds_are_a_ratio_only_where_the_bytes_are_as_many(state_bytes: int, ratio: float | None) -> None:
    cell = {"link": "10 Mb/s", "situation": "nothing", "seconds": 3.9, "sources": [], "slow_link_bytes": 0}
    (shown,) = report_of(Plan(state_bytes, LINKS), [cell], True)["cells"]
    assert (shown["isr_seconds"], shown["ratio"]) == (39, ratio)


def test_the_links_take_turns_for_the_right_stick_whose_median_counts() -> None:
    fast, slow = LINKS[0], LINKS[-1]
    plan = Plan(MIB, (fast, slow), ("nothing", RIGHT), short_runs=2)
    turns = [(RIGHT, fast), (RIGHT, slow)]
    assert list(rounds(plan)) == [*turns, *turns, ("nothing", fast), ("nothing", slow)]
    cells = [
        cell_of(link.name, RIGHT, [{"seconds": seconds, "slow_link_bytes": 0} for seconds in times])
        for link, times in ((fast, (0.5, 0.4, 9.0)), (slow, (0.6, 0.3, 0.7)))
    ]
    assert [cell["seconds_of_all"] for cell in cells] == [[0.4, 0.5, 9.0], [0.3, 0.6, 0.7]]
    assert report_of(plan, cells, True)["right_stick_spread"] == 1.2
    assert report_of(plan, [], True)["right_stick_spread"] is None
    assert [situation for situation, _ in rounds(Plan(MIB, LINKS, ("nothing",)))] == ["nothing"] * 4
    with pytest.raises(BadInput, match="0 runs"):
        plan_of(parser().parse_args(["--runs", "0"]))


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main([]) == 10
    assert "needs root" in capsys.readouterr().err
