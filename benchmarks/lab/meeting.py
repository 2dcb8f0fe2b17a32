"""Several chambers at work at the same time, each of which waits for the others where it says so.

What disturbs a machine then disturbs all that is compared. A module in a chamber calls ``wait_for_the_others``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

from benchmarks.lab.chamber import Chamber, require_success
from soulpad.base.errors import ProgramFailed
from soulpad.base.progress import Progress
from soulpad.base.run import Process

Answer = dict[str, Any]


def together(
    chamber: Chamber, module: str, requests: Mapping[str, Mapping[str, Any]], progress: Progress
) -> dict[str, Answer]:
    """Runs ``module`` once for each request; returns what each printed last. Raises ProgramFailed when one fails; then
    and at Ctrl-C none runs on."""
    barrier = Barrier(len(requests))
    with ExitStack() as cleanup:
        pool = cleanup.enter_context(ThreadPoolExecutor(len(requests)))
        processes = {name: cleanup.enter_context(chamber.started(module, each)) for name, each in requests.items()}
        answers = {name: pool.submit(attend, module, each, barrier, progress) for name, each in processes.items()}
        wait(answers.values(), return_when=FIRST_EXCEPTION)
        for answer in answers.values():
            if answer.done():
                answer.result()  # raises what went wrong, before the others are waited for
        return {name: answer.result() for name, answer in answers.items()}


def attend(module: str, process: Process, barrier: Barrier, progress: Progress) -> Answer:
    """What a module says last (nothing, when another has failed). Raises ProgramFailed."""
    try:
        answer = last_words(process, barrier, progress)
        require_success(module, process.wait())
    except BrokenBarrierError:
        return {}
    except BaseException:
        barrier.abort()
        raise
    if answer is None:
        barrier.abort()
        raise ProgramFailed(f"{module} ended without an answer", "what it said stands above")
    return answer


def last_words(process: Process, barrier: Barrier, progress: Progress) -> Answer | None:
    """Lets a module go on whenever all have come as far; its last message, None when it ended without one."""
    assert process.stdin and process.stdout
    for line in process.stdout:
        message = json.loads(line)
        if "next" not in message:
            return dict(message)
        if barrier.wait() == 0:
            progress.step(message["next"])
        with suppress(BrokenPipeError):  # it has ended; its exit code says why
            process.stdin.write(b"\n")
            process.stdin.flush()
    return None


def wait_for_the_others(upcoming: str) -> None:
    """In a chamber: returns when all chambers have come here; ``upcoming`` says what follows."""
    print(json.dumps({"next": upcoming}), flush=True)
    if not sys.stdin.readline():
        raise ProgramFailed("the benchmark has ended", "nothing goes on")
