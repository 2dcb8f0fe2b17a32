"""Several who work on one folder at once, of whom one at a time goes a file operation further: whoever is told to."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lookaside import placing

PATIENCE_SECONDS = 60


class Killed(BaseException):
    """Nothing in the code may catch it."""


class Actor(threading.Thread):
    """Somebody who stops before each file operation. ``trouble``: what ended the work, if it was no kill."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._may_go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self.over = self.killed = False
        self.trouble: BaseException | None = None

    def run(self) -> None:
        try:
            self.before_operation()
            self._work()
        except Killed:
            pass
        except BaseException as error:
            self.trouble = error
        finally:
            self.over = True
            self._waits.release()

    def before_operation(self) -> None:
        """Waits to be told; called by the actor's own thread."""
        if not self.killed:
            self._waits.release()
            assert self._may_go.acquire(timeout=PATIENCE_SECONDS)
        if self.killed:
            raise Killed

    def go(self, operations: int) -> None:
        """Lets it do so many operations, or all that are left to it."""
        for _ in range(operations):
            if self.over:
                return
            self._may_go.release()
            self.stand()

    def kill(self) -> None:
        """It does nothing any more, and tidies nothing up."""
        if not self.over:
            self.killed = True
            self.go(1)

    def stand(self) -> None:
        """Returns when it waits to be told, or is done."""
        assert self._waits.acquire(timeout=PATIENCE_SECONDS)


@contextmanager
def gated() -> Iterator[None]:
    """File operations of actors wait for their turn."""

    def gate(act: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            actor = threading.current_thread()
            if isinstance(actor, Actor):
                actor.before_operation()
            return act(*arguments, **options)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "listdir", "scandir", "mkdir"):
            patch.setattr(os, name, gate(getattr(os, name)))
        for name in ("open", "exists"):
            patch.setattr(Path, name, gate(getattr(Path, name)))
        patch.setattr(placing, "rename_if_free", gate(placing.rename_if_free))
        patch.setattr(os, "fsync", lambda _descriptor: None)  # what is made durable when is seen by cutting the power
        yield


def play(works: Sequence[Callable[[], object]], turns: Sequence[tuple[int, int]], kills: Sequence[int] = ()) -> None:
    """Plays ``works`` at once. ``turns``: who goes on, and for how many operations; then all go on to their end, but
    those in ``kills``, who are killed. Raises what ended one of them."""
    with gated():
        actors = [Actor(work) for work in works]
        for actor in actors:
            actor.start()
            actor.stand()
        for number, operations in turns:
            actors[number % len(actors)].go(operations)
        for number in kills:
            actors[number % len(actors)].kill()
        for actor in actors:
            actor.go(100_000)
        for actor in actors:
            actor.join(PATIENCE_SECONDS)
    for actor in actors:
        with suppress(StopIteration):
            if actor.trouble:
                raise actor.trouble
