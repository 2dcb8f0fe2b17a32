"""Of tests.pairs: how a session with more memory than the PC is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builder.pc.profile import find_profile
from tests.pairs import smallpc
from tests.pairs.seen import Soul
from tests.pairs.smallpc import Scene, Stayed

SCENE = smallpc.SCENES["4GiB-on-2GiB"]
SLOWER = {"kind": "memory", "refuses": False, "message": "This PC has 1973 MB of memory: it will be slower."}
STAYS = (
    Stayed((), Soul("boot", 10, 0), {"pattern 2560": "filled"}),
    Stayed((SLOWER,), Soul("boot", 90, 1), {"verify": "2560 MiB are as they were", "touch 256": "rewritten"}),
    Stayed((), Soul("boot", 200, 2), {"verify": "2560 MiB are as they were"}),
)


@pytest.mark.parametrize("scene", smallpc.SCENES.values(), ids=list(smallpc.SCENES))
def test_the_guest_has_touched_more_than_the_small_pc_has_and_fits_the_big_one(scene: Scene) -> None:
    assert (
        find_profile(scene.big).memory_mib
        >= scene.memory_mib
        > scene.pattern_mib
        > find_profile(scene.small).memory_mib
    )


def test_a_session_that_is_slower_and_whole_is_what_must_come() -> None:
    assert smallpc.problems(SCENE, STAYS) == []


@pytest.mark.parametrize(
    ("place", "change", "complaint"),
    [
        (0, {"answers": {"pattern 2560": "does not fit: 90 MiB are free"}}, "filled"),
        (1, {"findings": ()}, "slower"),
        (1, {"findings": ({**SLOWER, "refuses": True},)}, "slower"),
        (1, {"answers": {**STAYS[1].answers, "verify": "1 MiB are NOT as they were"}}, "all of the memory"),
        (1, {"killed": ("Out of memory: Killed process 612 (qemu-system-x86)",)}, "killed"),
        (2, {"soul": Soul("another", 300, 2)}, "same guest"),
        (2, {"soul": Soul("boot", 20, 2)}, "counter"),
    ],
)
def test_what_goes_wrong_at_the_small_pc_is_noticed(place: int, change: dict[str, Any], complaint: str) -> None:
    stays = [replace(stayed, **change) if at == place else stayed for at, stayed in enumerate(STAYS)]
    assert [complaint in problem for problem in smallpc.problems(SCENE, stays)] == [True]


@pytest.mark.parametrize(
    "line",
    [
        "[  612.1] Out of memory: Killed process 612 (qemu-system-x86) total-vm:5242880kB",
        "[  612.1] Memory cgroup out of memory: Killed process 612 (cage)",
        "[  612.0] python3 invoked oom-killer: gfp_mask=0x140cca",
    ],
)
def test_a_process_killed_for_want_of_memory_is_found_in_the_kernels_words(line: str) -> None:
    assert smallpc.KILLED.findall(f"SOULPAD prompt-ready\n{line}\n") == [line]
    assert smallpc.KILLED.findall("SOULPAD prompt-ready 3.1\n") == []
