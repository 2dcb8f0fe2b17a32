"""A plug that can be pulled: what changes the disk is counted, and before the chosen step everything ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from soulpad.base import reflink
from soulpad.session import branches, live


class PowerCut(BaseException):
    """Nothing in the code may catch it, as nothing catches a pulled plug."""


def half_a_clone(source: Path, target: Path) -> None:
    """What a copy that was cut off leaves."""
    target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


@contextmanager
def power(cut_before_step: int | None) -> Iterator[list[str]]:
    """Counts what changes the disk; the plug is pulled before the given step, or in the middle of it if it clones."""
    steps: list[str] = []

    def counted(name: str, act: Callable[..., Any], half: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if len(steps) == cut_before_step:
                if half:
                    half(*arguments)
                raise PowerCut
            steps.append(name)
            return act(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "unlink", "mkdir", "rmdir", "replace"):
            patch.setattr(os, name, counted(name, getattr(os, name)))
        for module in (live, branches):
            patch.setattr(module, "clone", counted("clone", reflink.clone, half_a_clone))
        yield steps


@contextmanager
def cut_if_it_comes_to(step: int) -> Iterator[None]:
    """Pulls the plug before that step. How many there are may depend on chance: names made of digests share folders."""
    with suppress(PowerCut), power(step):
        yield


@contextmanager
def durable_steps() -> Iterator[list[str]]:
    """The names of what is made durable, and ``OLD -> NEW`` for each renaming, in order."""
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        seen.append(f"{source.name} -> {target.name}")
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(os, "replace", noted_replace)
        yield seen


def steps_of(act: Callable[[], object]) -> int:
    """How many steps it takes undisturbed."""
    with power(None) as steps:
        act()
    return len(steps)


def cut_off(act: Callable[[], object], step: int) -> None:
    """Acts until the plug is pulled before the step."""
    with power(step), suppress(PowerCut):
        act()
