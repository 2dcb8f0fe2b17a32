"""What of tests.pairs decides: which sessions go where, what must come of it, and how it is judged and told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builder.pc.profile import Display, Nic, PcProfile, find_profile, known_profiles
from soulpad.base.errors import BadInput
from soulpad.store.cpuclass import class_named
from soulpad.store.stick import BOOT_MARK_BYTES
from tests.pairs.__main__ import main, parser, wanted_of
from tests.pairs.plan import (
    Expectation,
    Outcome,
    Session,
    Trip,
    chosen,
    expectation,
    flags_of,
    highest_class,
    journeys,
    sessions,
    trips,
)
from tests.pairs.seen import Seen, Soul, Suspended, problems

PCS = known_profiles()
OF_ANY = Session("old-desktop", "any-pc")
OF_V3 = Session("old-desktop", "x86-64-v3")
BEFORE = Suspended(3, Soul("boot", 40, 5))


def pc(name: str) -> PcProfile:
    return find_profile(name)


def every_trip() -> list[Trip]:
    return [trip for session in sessions(PCS) for trip in trips(session, PCS)]


# --- which PCs and which pairs


def test_the_pcs_have_old_and_new_processors_little_and_much_memory() -> None:
    highest = {known.name for profile in PCS if (known := highest_class(profile))}
    assert {"any-pc", "x86-64-v3"} <= highest
    assert not all(profile.virtualisation for profile in PCS)
    assert {1024, 2048, 8192} <= {profile.memory_mib for profile in PCS}
    assert len(PCS) >= 6


def test_the_pcs_have_every_display_and_network_card_there_is() -> None:
    assert {profile.display for profile in PCS} == set(Display)
    assert {profile.nic for profile in PCS} == set(Nic)


def test_every_pc_that_can_begin_a_session_begins_one_that_any_pc_can_resume() -> None:
    able = {profile.name for profile in PCS if profile.virtualisation and profile.name != "old-cpu"}
    assert {session.source for session in sessions(PCS) if session.cpu_class == "any-pc"} == able


def test_a_session_of_the_highest_class_is_begun_where_that_is_another_one() -> None:
    begun = sessions(PCS)
    assert Session("new-desktop", "x86-64-v3") in begun
    assert [session.cpu_class for session in begun if session.source == "old-laptop"] == ["any-pc"]
    assert len(set(begun)) == len(begun)


def test_every_session_goes_to_every_other_pc() -> None:
    for session in sessions(PCS):
        assert [trip.target for trip in trips(session, PCS)] == [
            profile.name for profile in PCS if profile.name != session.source
        ]


def test_every_ordered_pair_whose_source_can_begin_a_session_is_made() -> None:
    sources = {session.source for session in sessions(PCS)}
    made = {(trip.session.source, trip.target) for trip in every_trip()}
    assert made == {(source, profile.name) for source in sources for profile in PCS if source != profile.name}


def test_trips_of_one_session_are_one_journey() -> None:
    planned = every_trip()
    made = journeys(planned)
    assert [trip for one in made for trip in one.trips] == planned
    assert len(made) == len(sessions(PCS))


def test_pairs_are_chosen_by_both_names_and_a_star_is_every_pc() -> None:
    every = every_trip()
    assert {trip.session for trip in chosen(every, ["old-desktop:netbook"])} == {OF_ANY, OF_V3}
    assert {trip.session.source for trip in chosen(every, ["*:netbook"])} > {"old-desktop", "old-laptop"}
    assert set(chosen(every, ["*:*"])) == set(every)


@pytest.mark.parametrize("pair", ["old-desktop", "old-desktop:toaster", "old-cpu:netbook", "netbook:netbook", ""])
def test_a_pair_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="is no pair of PCs"):
        list(chosen(every_trip(), [pair]))


def test_a_processor_that_nobody_described_is_refused_with_where_to_say_it() -> None:
    with pytest.raises(BadInput, match="of which it is not known") as refused:
        flags_of(replace(pc("netbook"), cpu="Potato,+svm"))
    assert "PROCESSORS" in refused.value.hint


# --- what must come of it


def test_a_session_of_any_pc_resumes_on_an_old_and_on_a_new_one() -> None:
    for target in ("old-laptop", "new-desktop", "netbook"):
        assert expectation(OF_ANY, pc(target)) == Expectation(Outcome.RESUMED, picture=True)


def test_a_session_of_a_higher_class_is_refused_at_the_prompt_of_a_pc_that_lacks_it() -> None:
    expected = expectation(OF_V3, pc("old-laptop"))
    assert (expected.outcome, expected.finding) == (Outcome.REFUSED, "processor")
    assert set(expected.words) < class_named("x86-64-v3").flags - class_named("any-pc").flags


def test_the_prompt_must_name_what_the_processor_lacks() -> None:
    assert set(expectation(OF_ANY, pc("old-cpu")).words) == {"ssse3", "sse4_1", "sse4_2"}


def test_no_session_of_virtualisation_resumes_without_it() -> None:
    for session in (OF_ANY, OF_V3):
        assert expectation(session, pc("no-virtualisation")).finding == "virtualisation"


def test_a_pc_without_a_known_graphics_card_need_not_show_the_session() -> None:
    assert not expectation(OF_ANY, pc("framebuffer-only")).picture


# --- what was seen


def resumed(soul: Soul | None = BEFORE.soul, **changes: object) -> Seen:
    after = replace(soul, counter=soul.counter + 9, passes=soul.passes + 3) if soul else None
    seen = Seen(Outcome.RESUMED, (), 0, 3, soul=after, answer="16 MiB are as they were")
    return replace(seen, **changes)  # type: ignore[arg-type]


RESUMES = Expectation(Outcome.RESUMED, picture=True)
REFUSES = Expectation(Outcome.REFUSED, "processor", ("aes",))
LACKS_AES = {"kind": "processor", "refuses": True, "message": "its processor lacks aes."}


def test_the_same_guest_with_its_memory_is_what_must_come() -> None:
    assert problems(RESUMES, BEFORE, resumed()) == []


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        (resumed(None), "booted anew"),
        (resumed(Soul("another boot", 40, 5)), "booted anew"),
        (resumed(Soul("boot", 1, 5)), "counter"),
        (resumed(generation=2), "checkpoint 2"),
        (resumed(written_bytes=8192), "before the passphrase"),
        (resumed(answer="1 MiB are NOT as they were"), "NOT as they were"),
        (resumed(answer=""), "keyboard"),
        (resumed(findings=(LACKS_AES,)), "speaks of"),
        (Seen(Outcome.REFUSED, (), 0), "must be resumed"),
    ],
)
def test_another_guest_or_another_memory_is_noticed(seen: Seen, complaint: str) -> None:
    assert any(complaint in problem for problem in problems(RESUMES, BEFORE, seen))


def test_a_refusal_that_names_what_is_missing_is_what_must_come() -> None:
    assert problems(REFUSES, BEFORE, Seen(Outcome.REFUSED, (LACKS_AES,), 0, 3)) == []


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        (Seen(Outcome.REFUSED, (), 0, 3), "must speak of processor"),
        (Seen(Outcome.REFUSED, ({**LACKS_AES, "kind": "memory"},), 0, 3), "must speak of processor"),
        (Seen(Outcome.REFUSED, ({**LACKS_AES, "message": "no"},), 0, 3), "does not say aes"),
        (Seen(Outcome.REFUSED, ({**LACKS_AES, "refuses": False},), 0, 3), "does not refuse"),
        (Seen(Outcome.REFUSED, (LACKS_AES,), 8192, 3), "8192 bytes"),
        (Seen(Outcome.REFUSED, (LACKS_AES,), 0, None), "checkpoint None"),
    ],
)
def test_a_refusal_for_another_reason_or_that_changes_something_is_noticed(seen: Seen, complaint: str) -> None:
    assert any(complaint in problem for problem in problems(REFUSES, BEFORE, seen))


def test_without_virtualisation_the_prompt_must_refuse_and_say_so() -> None:
    expected = expectation(OF_ANY, pc("no-virtualisation"))
    note = {"kind": "virtualisation", "refuses": True, "message": f"This PC {expected.words[0]}."}
    assert problems(expected, BEFORE, Seen(Outcome.REFUSED, (note,), BOOT_MARK_BYTES, 3)) == []


# --- the command line


def test_the_command_line_takes_jobs_and_pairs() -> None:
    wanted = wanted_of(parser().parse_args(["--jobs", "2", "--only", "old-laptop:netbook"]))
    assert (wanted.jobs, len(wanted.journeys), wanted.again) == (2, 1, False)
    assert len(wanted_of(parser().parse_args([])).journeys) == len(sessions(PCS))


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--only", "here:there"]])
def test_a_command_line_that_asks_for_nothing_is_refused_in_a_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == BadInput.exit_code
    assert "hint:" in capsys.readouterr().err
