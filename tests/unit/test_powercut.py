"""The parts of the power-cut harness that decide: which writes survive, what is cut, what may be found."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from soulpad.base.errors import BadInput
from tests.powercut.__main__ import parser, request_of
from tests.powercut.blocklog import BlockLog, Entry, LogWriter, position
from tests.powercut.diary import Commit, Diary, Removal, Snapshot, Synced
from tests.powercut.moments import BLOCK_BYTES, MIXED, block, content_of, number_of, numbers_in
from tests.powercut.replay import LOSSES, SECTOR_BYTES, Cut, Device, Span, covered_by_flush, plan_cuts, survivors

FLUSH = Entry(0, 0, 0)
DISK = b"disk"


def writes(count: int, sectors: int = 1) -> list[Entry]:
    length = sectors * SECTOR_BYTES
    return [Entry(index * length, length, index * length) for index in range(count)]


def a_log(path: Path) -> BlockLog:
    """Two writes, a flush, and one that overwrites the first."""
    writer = LogWriter(path)
    writer.write(0, b"a" * SECTOR_BYTES)
    writer.write(SECTOR_BYTES, b"b" * SECTOR_BYTES)
    writer.flush()
    writer.write(0, b"c" * SECTOR_BYTES)
    return BlockLog(path)


# --- the log


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log")
    assert [(entry.offset_bytes, entry.length_bytes) for entry in log.entries] == [
        (0, SECTOR_BYTES), (SECTOR_BYTES, SECTOR_BYTES), (0, 0), (0, SECTOR_BYTES),
    ]  # fmt: skip
    assert [entry.is_flush for entry in log.entries] == [False, False, True, False]
    assert log.data(log.entries[1].data_at, 3) == b"bbb"


def test_positions_and_counts_of_entries_are_the_same_moments(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log")
    assert [log.count_before(log.position_after(count)) for count in range(5)] == [0, 1, 2, 3, 4]
    assert log.position_after(4) == position(tmp_path / "log")
    assert log.count_before(log.position_after(1) + 1) == 1


# --- what survives


def test_a_flush_covers_what_was_told_before_it_and_nothing_later() -> None:
    entries = [*writes(2), FLUSH, *writes(3), FLUSH, *writes(1)]
    assert [covered_by_flush(entries, told) for told in range(len(entries) + 1)] == [0, 0, 0, 3, 3, 3, 3, 7, 7]


def test_a_flush_that_was_ignored_covers_nothing() -> None:
    entries = [*writes(2), FLUSH, *writes(3), FLUSH]
    assert [covered_by_flush(entries, 7, ignored) for ignored in (0, 1, 2)] == [7, 3, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_whatever_survives_was_written_and_sectors_are_whole(name: str) -> None:
    pieces = survivors(writes(8, sectors=3), random.Random(1))
    lost = LOSSES[name](pieces, random.Random(2))
    sectors = [piece.offset_bytes + at for piece in lost for at in range(0, piece.length_bytes, SECTOR_BYTES)]
    assert all(piece.data_at == piece.offset_bytes for piece in lost), "each byte comes from its own place in the log"
    assert all(count == 1 for count in Counter(sectors).values())
    assert all(piece.offset_bytes % SECTOR_BYTES == piece.length_bytes % SECTOR_BYTES == 0 for piece in lost)


def test_chance_takes_every_way_of_losing_and_the_same_seed_the_same_way() -> None:
    window = [*writes(6, sectors=2), FLUSH]
    outcomes = {tuple(survivors(window, random.Random(seed))) for seed in range(200)}
    assert () in outcomes and len(outcomes) > 50
    assert survivors(window, random.Random(7)) == survivors(window, random.Random(7))


def test_of_two_writes_to_a_sector_the_earlier_may_be_what_stays() -> None:
    window = [Entry(0, SECTOR_BYTES, 0), Entry(0, SECTOR_BYTES, SECTOR_BYTES)]
    last = {tuple(survivors(window, random.Random(seed)))[-1:] for seed in range(200)}
    assert {piece.data_at for pieces in last for piece in pieces} == {0, SECTOR_BYTES}


def test_a_device_holds_what_was_flushed_and_forgets_no_earlier_cut(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(bytes(2 * SECTOR_BYTES))
    device = Device(base, a_log(tmp_path / "log"))
    found = [device.cut(Cut("", told, seed=told), tmp_path / "cut").read_bytes() for told in (0, 3, 4)]
    assert found[0] == bytes(2 * SECTOR_BYTES)
    assert found[1] == b"a" * SECTOR_BYTES + b"b" * SECTOR_BYTES
    assert found[2] in (found[1], b"c" * SECTOR_BYTES + b"b" * SECTOR_BYTES)


# --- what is cut


def test_so_many_different_points_are_cut_and_a_short_phase_again_and_again() -> None:
    spans = [Span("start", 0, 9), Span("suspend", 10, 12), Span("start", 13, 30)]
    cuts = plan_cuts(spans, 20, seed=3)
    assert Counter(cut.phase for cut in cuts) == {"start": 17, "suspend": 10}
    assert len({cut.told for cut in cuts}) == 20
    assert sorted(Counter(cut.told for cut in cuts if cut.phase == "suspend").values()) == [3, 3, 4]
    assert [cut.told for cut in cuts] == sorted(cut.told for cut in cuts)
    assert cuts == plan_cuts(spans, 20, seed=3) != plan_cuts(spans, 20, seed=4)


def test_more_cuts_than_points_take_every_point_and_chance_again() -> None:
    cuts = plan_cuts([Span("start", 0, 2), Span("suspend", 3, 5)], 100, seed=1)
    assert len(cuts) == 100 and {cut.told for cut in cuts} == set(range(6))
    assert len({cut.seed for cut in cuts}) > 90


@pytest.mark.parametrize("count", ["0", "-3"])
def test_no_cuts_at_all_are_refused(count: str) -> None:
    with pytest.raises(BadInput):
        request_of(parser().parse_args(["--cuts", count]))


# --- contents


def test_a_block_says_its_moment_and_zeros_say_that_it_was_never_written() -> None:
    assert number_of(DISK, 5, block(DISK, 5, 77)) == 77
    assert number_of(DISK, 5, bytes(BLOCK_BYTES)) == 0


@pytest.mark.parametrize(
    "content",
    [
        block(DISK, 5, 77)[:2048] + block(DISK, 5, 78)[2048:],  # torn
        block(DISK, 5, 77)[:-1] + b"x",
        block(DISK, 6, 77),  # of another place
        block(b"ram ", 5, 77),  # of another file
        bytes(2048) + block(DISK, 5, 77)[2048:],
        block(DISK, 5, 77)[:2048],  # cut short
    ],
)
def test_a_block_of_several_moments_or_of_another_place_is_mixed(content: bytes) -> None:
    assert number_of(DISK, 5, content) == MIXED


def test_a_file_is_read_back_block_by_block(tmp_path: Path) -> None:
    path = tmp_path / "disk-0.img"
    path.write_bytes(content_of(DISK, (3, 0, 9)))
    assert numbers_in(DISK, path) == (3, 0, 9)


# --- what may be found


@pytest.fixture
def diary() -> Diary:
    """Checkpoint 1; session 1 makes 2 between 100 and 200; its first block is durable at 50, and again at 150."""
    diary = Diary()
    diary.commits.append(Commit(1, 0, Snapshot((1, 1)), began=0, done=0))
    diary.begin_session(parent=0)
    assert [diary.next_moment(), diary.next_moment()] == [2, 3]
    diary.synced += [Synced(50, 1, 0, 2), Synced(150, 1, 0, 3)]
    diary.commits.append(Commit(2, 1, Snapshot((3, 1)), began=100, done=200))
    return diary


def test_while_a_checkpoint_is_made_the_old_one_or_the_new_one_is_current_and_afterwards_the_new_one(
    diary: Diary,
) -> None:
    assert [diary.possible_currents(at) for at in (0, 100, 101, 199, 200)] == [{1}, {1}, {1, 2}, {1, 2}, {2}]


def test_a_checkpoint_must_be_whole_from_its_end_until_its_removal_begins(diary: Diary) -> None:
    diary.removals.append(Removal(1, began=300))
    assert [[commit.generation for commit in diary.must_be_whole(at)] for at in (199, 300, 301)] == [[1], [1, 2], [2]]


def test_what_was_promised_last_counts(diary: Diary) -> None:
    assert [diary.promised(at) for at in (49, 50, 150)] == [{}, {1: {0: 2}}, {1: {0: 3}}]


def test_a_disk_keeps_a_promise_by_what_was_written_or_what_its_own_future_wrote_over_it(diary: Diary) -> None:
    diary.begin_session(parent=1)
    later = diary.next_moment()
    diary.begin_session(parent=0)
    elsewhere = diary.next_moment()
    promise = {0: 2}
    assert diary.keeps((2, 1), 1, promise) and diary.keeps((3, 1), 1, promise) and diary.keeps((later, 1), 1, promise)
    assert not diary.keeps((1, 1), 1, promise), "the older content"
    assert not diary.keeps((elsewhere, 1), 1, promise), "a session that went back never had it"
    assert not diary.keeps((MIXED, 1), 1, promise)


def test_disks_kept_aside_must_stay_and_never_become_current(diary: Diary) -> None:
    diary.commits.append(Commit(3, 1, Snapshot((3, 1)), began=300, done=400, is_current=False))
    assert diary.possible_currents(350) == diary.possible_currents(400) == {2}
    assert [commit.generation for commit in diary.must_be_whole(400)] == [1, 2, 3]


def test_a_promise_ends_with_the_removal_of_what_was_left_behind_and_not_before(diary: Diary) -> None:
    diary.begin_session(parent=0)
    diary.commits.append(Commit(3, 2, Snapshot((1, 1)), began=300, done=400))
    diary.removals.append(Removal(2, began=500))
    assert [diary.promised(at) for at in (500, 501)] == [{1: {0: 3}}, {}]


def test_a_promise_outlives_the_removal_of_its_checkpoint_where_the_current_one_goes_on_from_it(diary: Diary) -> None:
    diary.begin_session(parent=1)
    diary.commits.append(Commit(3, 2, Snapshot((3, 1)), began=300, done=400))
    diary.removals.append(Removal(2, began=500))
    assert diary.promised(501) == {1: {0: 3}}


def test_phases_are_parts_of_the_log_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log")
    one, three = log.position_after(1), log.position_after(3)
    diary = Diary(phases=[(0, "start"), (one, "running"), (three, "nothing"), (three, "suspend")])
    assert diary.spans(log) == [Span("start", 0, 1), Span("running", 1, 3), Span("suspend", 3, 4)]
