"""Judges what a power cut left: the store is opened, the product starts as it always does, and goes on to a suspend."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path

from builder.store.xfs import ToolArgv, check_xfs
from soulpad.base.errors import SoulpadError
from soulpad.store.checkpoint import DEVICE_STATE_NAME, RAM_NAME, disk_name
from soulpad.store.layout import ParcelPaths
from tests.powercut import devices
from tests.powercut.diary import Commit, Diary, Snapshot
from tests.powercut.guest import DISK, RAM, STATE, STATE_BLOCKS
from tests.powercut.moments import content_of
from tests.powercut.replay import Cut, Verdict
from tests.powercut.sitting import ALWAYS_OFFERED, WAYS, Sitting


def judge(cut: Cut, position: int, image: Path, mount_point: Path, diary: Diary, tool: ToolArgv) -> Verdict:
    """What the next start made of an image; ``position``: that of the cut in the log. Uses the image up."""
    found: list[str] = []
    outcome = "not opened"
    try:
        with devices.mounted_xfs(image, mount_point) as root:
            sitting = Sitting(root, copy.deepcopy(diary), lambda: position, random.Random(cut.seed))
            try:
                outcome = start(sitting, cut)
                found += violations(sitting, position, diary)
                found += gone_on(sitting)
            finally:
                sitting.leave()
        check_xfs(image, tool)
    except SoulpadError as error:
        found.append(error.message)
    except Exception as error:  # whatever the product does not expect is what is looked for
        found.append(f"{type(error).__name__}: {error}")
    return Verdict(cut, outcome, tuple(found))


def start(sitting: Sitting, cut: Cut) -> str:
    """The next start, with a person whom chance gives one of the wishes; says what it did."""
    before = sitting.parcel.current_generation()
    sitting.start(list(WAYS.values())[cut.seed % len(WAYS)])
    adopted = sitting.parcel.current_generation() != before
    return ", ".join(word for word in ("adopted" if adopted else "", sitting.person.taken) if word) or "resumed"


def violations(sitting: Sitting, position: int, diary: Diary) -> Iterator[str]:
    """What is lost or mixed, a sentence each."""
    paths = sitting.parcel.paths
    current = sitting.parcel.current_generation()
    if current not in (possible := diary.possible_currents(position)):
        yield f"checkpoint {current} is current, not {' or '.join(map(str, sorted(possible)))}"
    if sitting.person.taken and not set(ALWAYS_OFFERED) <= set(sitting.person.offered):
        yield f"the person was only offered: {', '.join(sitting.person.offered)}"
    yield from sitting.refused(commit.generation for commit in diary.must_be_whole(position))
    for commit in whole_checkpoints(sitting, position, diary):
        yield from differences(paths, commit)
    for session, promised in diary.promised(position).items():
        if not any(diary.keeps(disk, session, promised) for disk in sitting.disks()):
            yield f"no disk holds all that session {session} was told to be durable"


def whole_checkpoints(sitting: Sitting, position: int, diary: Diary) -> list[Commit]:
    """Those that must be there, and all that are there: half a checkpoint is never found.

    What this start made itself has a number that the story gave to another one later.
    """
    made_now = {commit.generation for commit in sitting.diary.commits[len(diary.commits) :]}
    there = set(sitting.parcel.generations()) - made_now
    must = diary.must_be_whole(position)
    return must + [commit for commit in diary.commits if commit.generation in there and commit not in must]


def differences(paths: ParcelPaths, commit: Commit) -> Iterator[str]:
    """Where a checkpoint is not what it was."""
    for file, kind, numbers in files_of(commit.snapshot):
        path = paths.checkpoint(commit.generation) / file
        if not path.exists():
            yield f"checkpoint {commit.generation} has no {file}"
        elif path.read_bytes() != content_of(kind, numbers):
            yield f"checkpoint {commit.generation}: {file} is not of its moment"


def files_of(snapshot: Snapshot) -> Iterator[tuple[str, bytes, tuple[int, ...]]]:
    """Name, kind and blocks of each file of a checkpoint."""
    yield disk_name(0), DISK, snapshot.disk
    if snapshot.ram is not None and snapshot.state is not None:
        yield RAM_NAME, RAM, snapshot.ram
        yield DEVICE_STATE_NAME, STATE, (snapshot.state,) * STATE_BLOCKS


def gone_on(sitting: Sitting) -> Iterator[str]:
    """The guest works on and is suspended: what is current then is looked at too."""
    sitting.guest.work(rounds=2)
    sitting.checkpoint()
    sitting.guest.work(rounds=1)
    sitting.suspend()
    for commit in sitting.diary.commits[-2:]:
        yield from (f"later, {difference}" for difference in differences(sitting.parcel.paths, commit))
