"""The working set beside a session: what is asked for, what is learnt, and that neither can fail a resume."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from soulpad.session import readahead, workingset
from soulpad.session.workingset import (
    FAULT_AROUND_PAGES,
    MOST_PAGES_UNDER_WAY,
    TURNS,
    Companion,
    FirstTouches,
    affordable_pages,
    learn,
    pieces,
    prefetch,
    prefetch_plan,
    prefetched,
)
from soulpad.store.checkpoint import RAM_NAME
from soulpad.store.workingset import (
    MOST_PAGES,
    PAGE_BYTES,
    WORKING_SET_NAME,
    Run,
    WorkingSet,
    read_working_set,
    write_working_set,
)

PAGES = 512
RAM_BYTES = PAGES * PAGE_BYTES
KNOWN = WorkingSet(RAM_BYTES, (Run(300, 2), Run(5, 1)))
ANY_RUNS = some.lists(some.builds(Run, some.integers(0, 5000), some.integers(1, 400)), max_size=20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint's folder, with a working set."""
    folder = tmp_path / "checkpoints" / "7"
    folder.mkdir(parents=True)
    write_working_set(folder, KNOWN)
    return folder


@pytest.fixture
def live(tmp_path: Path) -> Path:
    folder = tmp_path / "live"
    folder.mkdir()
    with (folder / RAM_NAME).open("wb") as file:
        file.truncate(RAM_BYTES)
    return folder


def pages_of(runs: list[Run]) -> list[int]:
    return [page for run in runs for page in range(run.first, run.first + run.pages)]


# --- what is asked for


@given(ANY_RUNS, some.integers(0, 100))
def test_a_plan_is_the_set_in_its_order_without_the_windows_whose_turn_it_is(runs: list[Run], turn: int) -> None:
    wanted = [page for page in pages_of(runs) if (page // FAULT_AROUND_PAGES + turn) % TURNS]
    assert pages_of(prefetch_plan(runs, turn, 10**6)) == wanted


@given(ANY_RUNS)
def test_every_page_is_left_out_once_in_as_many_turns_as_there_are(runs: list[Run]) -> None:
    plans = [pages_of(prefetch_plan(runs, turn, 10**6)) for turn in range(TURNS)]
    assert sum(map(len, plans)) == (TURNS - 1) * len(pages_of(runs))


@given(ANY_RUNS, some.integers(0, 500))
def test_a_plan_that_is_too_large_is_cut_at_its_end(runs: list[Run], most: int) -> None:
    assert pages_of(prefetch_plan(runs, 3, most)) == pages_of(prefetch_plan(runs, 3, 10**6))[:most]


def test_no_piece_is_larger_than_what_may_be_under_way() -> None:
    assert all(0 < piece.pages <= FAULT_AROUND_PAGES < MOST_PAGES_UNDER_WAY for piece in pieces(Run(3, 5000)))


def test_a_pc_with_little_memory_is_asked_for_little_of_it() -> None:
    assert affordable_pages(64) * PAGE_BYTES == 16 << 20
    assert affordable_pages(64_000) == MOST_PAGES
    assert prefetch_plan([Run(0, 100)], 1, affordable_pages(0)) == []


def test_prefetching_asks_in_order_and_for_little_at_a_time(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Run] = []
    under_way: list[int] = []

    def note(_descriptor: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        asked.append(Run(offset // PAGE_BYTES, length // PAGE_BYTES))
        under_way.append(asked[-1].pages)
        assert sum(under_way) <= MOST_PAGES_UNDER_WAY + FAULT_AROUND_PAGES

    def arrived(_descriptor: int, _count: int, offset: int) -> bytes:
        assert offset // PAGE_BYTES == asked[len(asked) - len(under_way)].first
        under_way.pop(0)
        return b"\\0"

    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr(os, "pread", arrived)
    plan = prefetch_plan([Run(256, 256), Run(0, 200)], 1, MOST_PAGES)
    prefetch(live / RAM_NAME, plan, threading.Event())
    assert asked == plan


def test_prefetching_ends_when_it_is_told_to(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    asked: list[int] = []

    def note(_descriptor: int, offset: int, _length: int, _advice: int) -> None:
        asked.append(offset)
        stopping.set()

    monkeypatch.setattr(os, "posix_fadvise", note)
    prefetch(live / RAM_NAME, [Run(0, 1), Run(9, 1)], stopping)
    assert asked == [0]


# --- what is learnt


def test_pages_are_ordered_by_the_sample_in_which_they_came_up() -> None:
    touched = FirstTouches()
    touched.add([Run(100, 2)])
    touched.add([Run(4, 1), Run(99, 4)])
    assert pages_of(touched.runs()) == [100, 101, 4, 99, 102]


def test_no_more_is_learnt_than_a_set_may_hold() -> None:
    touched = FirstTouches()
    touched.add([Run(50, 1)])
    touched.add([Run(0, 2 * MOST_PAGES)])
    touched.add([Run(3 * MOST_PAGES, 1)])
    assert pages_of(touched.runs())[0] == 50
    assert len(pages_of(touched.runs())) == MOST_PAGES


def watching(monkeypatch: pytest.MonkeyPatch, samples: list[list[Run]], cpu: list[float]) -> None:
    """A QEMU that has mapped more in each sample, and used so much processor time."""
    monkeypatch.setattr(workingset, "process_that_maps", lambda _path, _name: 77)
    monkeypatch.setattr(workingset, "mapped_runs", lambda _process, _path: samples.pop(0))
    monkeypatch.setattr(workingset, "cpu_seconds", lambda _process: cpu.pop(0))
    monkeypatch.setattr(workingset, "SAMPLE_SECONDS", 0)
    monkeypatch.setattr(readahead, "take_over", lambda _process, _path: True)


def test_what_a_machine_touched_until_it_had_its_time_lies_beside_its_memory(
    live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [[Run(300, 1)], [Run(300, 2)], [Run(9, 1), Run(300, 2)], [Run(0, PAGES)]]
    watching(monkeypatch, samples, [5.0, 5.1, 5.2, 5.0 + workingset.LEARN_CPU_SECONDS])
    learn(live, KNOWN, threading.Event())
    found = read_working_set(live, RAM_BYTES)
    assert found and pages_of(list(found.runs)) == [300, 301, 9]


def test_a_page_that_is_no_longer_touched_drops_out(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watching(monkeypatch, [[Run(300, 2)]], [0.0, 9.0])
    learn(live, KNOWN, threading.Event())
    assert read_working_set(live, RAM_BYTES) == WorkingSet(RAM_BYTES, (Run(300, 2),))


def test_a_session_that_ends_at_once_passes_on_what_was_known(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    stopping.set()
    watching(monkeypatch, [[Run(1, 1)]], [0.0, 0.0])
    learn(live, KNOWN, stopping)
    assert read_working_set(live, RAM_BYTES) == KNOWN


def test_a_first_session_that_ends_at_once_passes_on_what_it_saw(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    stopping.set()
    watching(monkeypatch, [[Run(1, 1)]], [0.0, 0.0])
    learn(live, None, stopping)
    assert read_working_set(live, RAM_BYTES) == WorkingSet(RAM_BYTES, (Run(1, 1),))


@pytest.mark.parametrize("known", [KNOWN, None])
def test_where_a_machine_cannot_be_watched_what_was_known_is_passed_on(
    live: Path, monkeypatch: pytest.MonkeyPatch, known: WorkingSet | None
) -> None:
    def gone(_process: int, _path: Path) -> list[Run]:
        raise ProcessLookupError

    watching(monkeypatch, [], [0.0])
    monkeypatch.setattr(workingset, "mapped_runs", gone)
    learn(live, known, threading.Event())
    assert read_working_set(live, RAM_BYTES) == known


# --- beside a session


def test_a_checkpoint_with_a_set_is_prefetched_and_one_without_is_not(
    source: Path, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Run] = []
    monkeypatch.setattr(workingset, "prefetch", lambda _ram, runs, _stopping: asked.extend(runs))
    with prefetched(source, live) as companion:
        companion.stop()
    assert pages_of(asked) == pages_of(list(KNOWN.runs))
    (source / WORKING_SET_NAME).write_bytes(b"nonsense")
    with prefetched(source, live) as companion:
        assert not companion.threads


def test_a_resume_that_fails_leaves_nothing_behind_that_uses_the_store(
    source: Path, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def endless(_ram: Path, _runs: list[Run], stopping: threading.Event) -> None:
        stopping.wait()
        ended.set()

    monkeypatch.setattr(workingset, "prefetch", endless)
    with pytest.raises(KeyboardInterrupt), prefetched(source, live):
        raise KeyboardInterrupt
    assert ended.is_set()


def test_what_fails_in_it_fails_nothing_else(source: Path, live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise OSError("the stick was pulled out")

    monkeypatch.setattr(workingset, "prefetch", broken)
    monkeypatch.setattr(workingset, "write_working_set", broken)
    with prefetched(source, live) as companion:
        companion.machine_runs()
    companion.stop()
    assert [path.name for path in live.iterdir()] == [RAM_NAME]


def test_the_companion_of_a_cold_start_does_nothing() -> None:
    companion = Companion()
    companion.machine_runs()
    companion.stop()
    assert not companion.threads
