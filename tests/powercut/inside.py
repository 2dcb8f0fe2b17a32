"""The whole harness in one process and its children, in namespaces of its own (``__main__``).

Started as ``python -m tests.powercut.inside REQUEST``; prints the report as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

from builder.debian.toolbox import toolbox
from builder.store.xfs import ToolArgv
from soulpad.base.run import run
from tests.powercut import devices
from tests.powercut.blocklog import BlockLog
from tests.powercut.check import judge
from tests.powercut.diary import Diary
from tests.powercut.firststore import make_store
from tests.powercut.replay import Cut, Device, Verdict, copy_sparsely, plan_cuts
from tests.powercut.report import Request, report_of
from tests.powercut.scenario import PLAIN_STEPS, STEPS, Story
from tests.powercut.sitting import nothing_flushed

CUTS_AT_A_TIME = 20
FLUSHES_IGNORED = 20  # about those of a suspend


@dataclass(frozen=True)
class Scene:
    """What happened: the device before it, what the device was told, and the diary. All in ``folder``."""

    folder: Path
    before: Path
    log_file: Path
    diary: Diary


def main(request: Request, folder: Path) -> None:
    """Makes a store, lives through the scenario, cuts the power at many points of it, and judges what is left."""
    run(["mount", "-t", "tmpfs", "tmpfs", folder])  # in memory, and gone with the namespace
    tool = toolbox().argv
    scene = play(make_store(folder / "before.img", tool), request)
    log = BlockLog(scene.log_file)
    spans = scene.diary.spans(log)
    verdicts = list(judge_all(scene, plan_cuts(spans, request.cuts, request.seed), request, tool))
    print(json.dumps(report_of(request, log, spans, verdicts)))


def play(before: Path, request: Request) -> Scene:
    """Lives through the scenario on a device that logs what it is told."""
    folder = before.parent
    image, log, mount_point = folder / "device.img", folder / "device.log", folder / "store"
    copy_sparsely(before, image)
    mount_point.mkdir()
    with devices.logged_file(image, log, folder / "device") as device, control(request):
        diary = Story(device, mount_point, log, request.seed).live(PLAIN_STEPS if request.control else STEPS)
    image.unlink()
    return Scene(folder, before, log, diary)


@contextmanager
def control(request: Request) -> Iterator[None]:
    """Breaks the product on purpose: it makes nothing durable, or not what a manifest is about to vouch for.

    The guest's own fsync is another call (fdatasync)."""
    match request.control:
        case "fsync-left-out":
            broken: AbstractContextManager[object] = mock.patch.object(os, "fsync")
        case "flush-left-out":
            broken = nothing_flushed()
        case _:
            broken = nullcontext()
    with broken:
        yield


def judge_all(scene: Scene, cuts: Sequence[Cut], request: Request, tool: ToolArgv) -> Iterator[Verdict]:
    """Some cuts at a time, on all processors."""
    chunks = [cuts[at : at + CUTS_AT_A_TIME] for at in range(0, len(cuts), CUTS_AT_A_TIME)]
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        done = 0
        for verdicts in pool.map(partial(judge_chunk, scene, request, tool), chunks):
            yield from verdicts
            done += len(verdicts)
            print(f"  {done} of {len(cuts)} cut points", file=sys.stderr)


def judge_chunk(scene: Scene, request: Request, tool: ToolArgv, cuts: Sequence[Cut]) -> list[Verdict]:
    """The verdicts on cuts in the order of the log."""
    own = scene.folder / f"worker-{os.getpid()}"
    own.mkdir(exist_ok=True)
    mount_point = own / "store"
    mount_point.mkdir(exist_ok=True)
    copy_sparsely(scene.before, own / "base.img")
    log = BlockLog(scene.log_file)
    device = Device(own / "base.img", log, FLUSHES_IGNORED if request.control == "flushes-ignored" else 0)
    verdicts = []
    for cut in cuts:
        image = device.cut(cut, own / "cut.img")
        verdict = judge(cut, log.position_after(cut.told), image, mount_point, scene.diary, tool)
        if verdict.violations and request.keep:
            device.cut(cut, Path(request.keep) / f"{cut.told}-{cut.seed}.img")
        verdicts.append(verdict)
    return verdicts


if __name__ == "__main__":
    main(Request(**json.loads(sys.argv[1])), Path(sys.argv[2]))
