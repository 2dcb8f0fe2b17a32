"""The demo guest's program: what it remembers, checks, shows and answers."""

from __future__ import annotations

import json
import os
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.guest.recipe import read_guest_recipe
from builder.places import IMAGES
from tests.unit.demo_program import module

MIB = 1 << 20
PAGE = 4096
MARKER = "MARKER-THAT-CAN-BE-FOUND"


def pattern_of(mib: int, session: str = "session") -> Any:
    pattern = module("pattern").Pattern(session, MARKER)
    drain(pattern.resize(mib))
    return pattern


def drain(steps: Iterator[None]) -> int:
    return sum(1 for _ in steps)


# --- the memory pattern


def test_every_page_begins_with_the_marker_and_no_two_are_alike() -> None:
    pattern = pattern_of(0)
    content = pattern.block(0, 0) + pattern.block(1, 0) + pattern.block(0, 1)
    pages = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
    assert all(page.startswith(MARKER.encode()) for page in pages)
    assert len(set(pages)) == len(pages) == 3 * 256


def test_another_session_fills_memory_with_something_else() -> None:
    assert pattern_of(0, "one").block(0, 0) != pattern_of(0, "two").block(0, 0)


def test_a_full_pass_finds_every_byte_as_it_was() -> None:
    pattern = pattern_of(3)
    assert drain(pattern.verify()) == 3
    assert (pattern.mib, pattern.passes, pattern.ok) == (3, 1, True)


def test_a_single_flipped_bit_is_found_and_not_forgotten() -> None:
    pattern = pattern_of(3)
    pattern.damage(1)
    drain(pattern.verify())
    assert (pattern.ok, pattern.bad_blocks) == (False, {1})
    pattern.damage(1)  # flips it back
    drain(pattern.verify())
    assert not pattern.ok


def test_rewritten_memory_has_new_content_that_is_checked_too() -> None:
    pattern = pattern_of(3)
    before = pattern.block(0, 0)
    assert drain(pattern.touch(4)) == 4  # round and on: the first block twice
    drain(pattern.verify())
    assert pattern.ok
    assert bytes(pattern._memory[:MIB]) == pattern.block(0, 2) != before


def test_checking_in_slices_goes_round_and_counts_its_passes() -> None:
    pattern = pattern_of(2)
    trickle = pattern.trickle()
    for _ in range(6):
        next(trickle)
    assert pattern.passes == 2


def test_a_smaller_pattern_starts_its_record_anew() -> None:
    pattern = pattern_of(3)
    drain(pattern.verify())
    drain(pattern.resize(1))
    assert (pattern.mib, pattern.passes) == (1, 0)
    assert drain(pattern.verify()) == 1


# --- the letter


def letter_of(folder: Path) -> Any:
    letter = module("letter").Letter(str(folder / "home/letter.txt"), MARKER)
    letter.begin("cafe", "today")
    return letter


def test_the_letter_is_found_until_somebody_changes_it(tmp_path: Path) -> None:
    letter = letter_of(tmp_path)
    letter.write("hello")
    assert letter.found()
    path = Path(letter.path)
    assert path.read_text() == f"{MARKER} session cafe began today\n{MARKER} hello\n"
    path.write_text(path.read_text().replace("hello", "hallo"))
    assert not letter.found()
    path.unlink()
    assert not letter.found()


def test_the_letters_of_earlier_sessions_stay(tmp_path: Path) -> None:
    letter_of(tmp_path).write("last words")
    second = letter_of(tmp_path)
    assert second.found()
    assert second.sessions == 2
    assert "last words" in Path(second.path).read_text()


# --- the program as a whole


class Guest:
    """The program on two pseudo terminals."""

    def __init__(self, folder: Path, **settings: str) -> None:
        app, wires = module("app"), module("wires")
        self._port, serial = os.openpty()
        self.keyboard, console = os.openpty()
        tty.setraw(self._port)
        os.set_blocking(self._port, False)
        chosen = {**app.DEFAULTS, "pattern_mib": "2", "letter": str(folder / "letter.txt")}
        chosen |= {"work_file": str(folder / "home/work"), **settings}
        self.soul = app.Soul(chosen, wires.Wire(serial), wires.Wire(console))
        self._received = b""

    def say(self, line: str) -> None:
        os.write(self._port, f"{line}\n".encode())

    def next(self, kind: str) -> Any:
        """The next message of this kind (``soul`` or ``done``)."""
        while True:
            while b"\n" in self._received:
                line, _, self._received = self._received.partition(b"\n")
                message = json.loads(line)
                if kind in message:
                    return message[kind]
            self.soul.turn()
            try:
                self._received += os.read(self._port, 65536)
            except BlockingIOError:
                continue


def test_the_first_report_comes_before_the_memory_is_filled_and_has_every_field(tmp_path: Path) -> None:
    report = Guest(tmp_path).next("soul")
    assert report["counter"] == 1
    assert report["pattern_mib"] < report["pattern_goal_mib"] == 2
    assert report["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (report["file_found"], report["pattern_ok"], report["pattern_verified"]) == (True, True, 0)
    assert abs(report["clock"] - time.time()) < 60
    assert {"session_id", "uptime", "typed", "commands_done", "file_sessions"} < set(report)


def test_commands_are_carried_out_in_order_and_answered(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.say("verify")
    guest.say("touch 3")
    guest.say("pattern 1")
    answers = [guest.next("done") for _ in range(4)]
    assert [answer["command"] for answer in answers] == ["pattern 2", "verify", "touch 3", "pattern 1"]
    assert answers[1]["result"] == "2 MiB are as they were"
    guest.say("status")
    report = guest.next("soul")
    assert (report["pattern_mib"], report["pattern_ok"]) == (1, True)


def test_verifying_says_when_memory_was_changed(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.soul._pattern.damage(0)
    guest.say("verify")
    assert guest.next("done")["result"] == "1 MiB are NOT as they were"
    assert guest.next("soul")["pattern_ok"] is False


def test_what_is_written_reaches_the_letter(tmp_path: Path) -> None:
    guest = Guest(tmp_path, marker_on_disk=MARKER)
    guest.say('write "quoted" and ünusual')
    assert guest.next("done")["result"] == "written and on the disk"
    assert f'{MARKER} "quoted" and ünusual\n' in (tmp_path / "letter.txt").read_text()


def test_keys_on_the_console_are_reported_and_obeyed(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    os.write(guest.keyboard, b"hal")
    assert guest.next("soul")["typed"] in ("", "hal")
    assert guest.next("soul")["typed"] == "hal"
    os.write(guest.keyboard, b"\x15verify\r")
    assert guest.next("done")["command"] == "verify"


BROWSE_NONSENSE = ["browse", "browse 4", "browse 4 2", "browse 4 0", "browse many some", "browse 9 1 1"]
WORK_NONSENSE = ["work", "work memory-write", "work memory-burn 2", "work disk-read 0", "work disk-write 1 2 3"]


@pytest.mark.parametrize(
    "line", ["dance", "touch", "touch -1", "pattern many", "write", *WORK_NONSENSE, *BROWSE_NONSENSE]
)
def test_nonsense_is_answered_and_harms_nothing(tmp_path: Path, line: str) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say(line)
    assert guest.next("done")["result"] == "is no command"
    assert guest.next("soul")["pattern_mib"] == 2


def test_a_pattern_that_does_not_fit_the_memory_is_refused(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say("pattern 99999999")
    assert "does not fit" in guest.next("done")["result"]
    assert guest.next("soul")["pattern_goal_mib"] == 2


@pytest.mark.parametrize("kind", ["memory-write", "memory-read", "disk-write", "disk-read"])
def test_work_once_round_says_how_many_mib_and_how_long(tmp_path: Path, kind: str) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say(f"work {kind} 3")
    answer = guest.next("done")
    assert answer["result"] == "3 MiB"
    assert answer["seconds"] >= 0
    assert guest.next("soul")["pattern_ok"]


def test_work_for_some_time_goes_round_until_that_is_over(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say("work memory-write 1 300")
    answer = guest.next("done")
    assert answer["seconds"] >= 0.3
    assert int(answer["result"].removesuffix(" MiB")) > 1


def test_work_finds_memory_and_files_that_are_not_as_they_were(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    for line in ("work memory-write 2", "work disk-write 2"):
        guest.say(line)
        assert guest.next("done")["result"] == "2 MiB"
    guest.soul._timed_work._memory[5] ^= 1
    with (tmp_path / "home/work").open("r+b") as file:
        file.seek(MIB + 5)
        file.write(b"another")
    for line in ("work memory-read 2", "work disk-read 2"):
        guest.say(line)
        assert guest.next("done")["result"] == "1 of 2 MiB are NOT as they were"


def test_work_of_another_size_begins_with_memory_and_file_of_that_size(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    for line in ("work memory-read 1", "work memory-read 3", "work disk-read 3", "work disk-read 1"):
        guest.say(line)
        assert guest.next("done")["result"] == f"{line[-1]} MiB"
    assert guest.soul._timed_work.memory_mib == 3
    assert (tmp_path / "home/work").stat().st_size == MIB


def test_browsing_goes_on_beside_everything_else_and_says_each_round(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say("browse 6 1")
    assert guest.next("done")["result"] == "browsing"
    rounds = [guest.next("round") for _ in range(3)]
    assert [one["number"] for one in rounds] == [1, 2, 3] and all(one["ok"] for one in rounds)
    guest.say("verify")
    assert guest.next("done")["result"] == "2 MiB are as they were"
    guest.say("browse 3 1")
    assert guest.next("done")["result"] == "browsing"
    assert guest.next("round")["number"] == 1


def test_rounds_that_nobody_reads_do_not_crowd_out_an_answer(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say("browse 3 1")
    assert guest.next("done")["result"] == "browsing"
    for _ in range(300):
        guest.soul.turn()
    guest.say("verify")
    assert guest.next("done")["result"] == "2 MiB are as they were"


def test_work_that_cannot_be_done_is_answered_and_survived(tmp_path: Path) -> None:
    (tmp_path / "home/work").mkdir(parents=True)
    guest = Guest(tmp_path)
    guest.next("done")
    guest.say("work disk-write 1")
    assert guest.next("done")["result"] == "failed: Is a directory"
    guest.say("work memory-write 99999999")
    assert "does not fit" in guest.next("done")["result"]
    guest.say("work memory-write 1")
    assert guest.next("done")["result"] == "1 MiB"


def test_a_letter_that_cannot_be_written_is_reported_and_survived(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").mkdir()
    guest = Guest(tmp_path)
    assert guest.next("soul")["file_found"] is False
    guest.say("write hello")
    assert guest.next("done")["command"] in ("pattern 2", "write hello")


def test_after_a_long_pause_the_counter_goes_on_from_where_it_was(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    before = guest.next("soul")["counter"]
    guest.soul._next_tick -= 1000  # as when the machine was stopped for 1000 seconds
    assert guest.next("soul")["counter"] == before + 1
    assert not guest.soul._next_tick < module("app").time.monotonic()


def test_a_new_process_is_a_new_session_and_says_how_many_there_were(tmp_path: Path) -> None:
    first, second = Guest(tmp_path).next("soul"), Guest(tmp_path).next("soul")
    assert first["session_id"] != second["session_id"]
    assert second["file_sessions"] == 2


def test_reports_are_json_whatever_was_typed() -> None:
    message = {"soul": {"typed": 'a "quote", a \\ and ü\x7f', "n": 3, "ok": True, "no": False}}
    assert json.loads(module("app").to_json(message)) == message


def test_the_recipe_gives_the_program_only_settings_that_it_knows() -> None:
    recipe = read_guest_recipe(IMAGES / "guest-demo.toml")
    assert {name for name, _ in recipe.settings} <= set(module("app").DEFAULTS)
    assert int(dict(recipe.settings)["pattern_mib"]) == 200
