"""Which checkpoints stay. The policy, as docs/sessions.md tells it:

- the current one, always;
- the newest SESSIONS that a suspend, a shut-down or the making of the parcel left;
- the newest WHILE_RUNNING that were made beside a running session;
- the newest CUT_OFF disks that a power cut left;
- the last one of each of the newest DAYS days that have any.

Where space is short, more of them go, in the order of ``sacrifices``: never the current one, never the newest whole one
beside it. Nothing goes while the current one is not whole, and what cannot be read is nobody's to remove.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from soulpad.base.errors import SoulpadError
from soulpad.session.parcels import Parcel
from soulpad.store.checkpoint import CheckpointManifest
from soulpad.store.pin import unpinned

SESSIONS = 3
WHILE_RUNNING = 1
CUT_OFF = 3
DAYS = 7
DAY_SECONDS = 86400


def to_remove(found: Sequence[CheckpointManifest], current: int) -> list[int]:
    """The generations that the policy lets go, oldest first. ``found`` in any order."""
    newest = sorted(found, key=lambda manifest: manifest.generation, reverse=True)
    cut_off = [manifest for manifest in newest if manifest.occasion == "cut-off"]
    running = [manifest for manifest in newest if manifest.occasion == "while-running"]
    sessions = [manifest for manifest in newest if manifest.occasion not in ("cut-off", "while-running")]
    kept = [*sessions[:SESSIONS], *running[:WHILE_RUNNING], *cut_off[:CUT_OFF], *last_of_days(sessions + running)]
    stay = {current, *(manifest.generation for manifest in kept)}
    return [manifest.generation for manifest in reversed(newest) if manifest.generation not in stay]


def last_of_days(found: Iterable[CheckpointManifest]) -> list[CheckpointManifest]:
    """The last checkpoint of each of the newest DAYS days (UTC, by the clocks of the PCs) that have any."""
    by_day: dict[int, CheckpointManifest] = {}
    for manifest in sorted(found, key=lambda manifest: manifest.generation):
        by_day[manifest.taken_at // DAY_SECONDS] = manifest
    newest_days = sorted(by_day, key=lambda day: by_day[day].generation, reverse=True)[:DAYS]
    return [by_day[day] for day in newest_days]


def sacrifices(found: Sequence[CheckpointManifest], current: int) -> list[int]:
    """What goes, in this order, while space is short: made beside a session, sessions and days, then what power cuts
    left; of each the oldest first."""
    rank = {"while-running": 0, "cut-off": 2}
    others = [manifest for manifest in found if manifest.generation != current]
    resumable = [manifest.generation for manifest in others if manifest.occasion != "cut-off"]
    stays = max(resumable, default=None)
    ordered = sorted(others, key=lambda manifest: (rank.get(manifest.occasion, 1), manifest.generation))
    return [manifest.generation for manifest in ordered if manifest.generation != stays]


def prune(parcel: Parcel) -> list[int]:
    """Removes what the policy lets go; returns the generations. Removes nothing while the current one is not whole."""
    try:
        current = parcel.current().generation
    except (SoulpadError, OSError):
        return []
    gone = to_remove(parcel.manifests(), current)
    for generation in gone:
        remove(parcel, generation)
    return gone


def remove(parcel: Parcel, generation: int, *, at_once: bool = False) -> None:
    """Takes a checkpoint out of the list in one step, then its files: a power cut leaves no half of one.

    ``at_once``: their room is free when this returns. XFS frees what is only unlinked in its own time.
    """
    aside = parcel.paths.checkpoint_in_removal(generation)
    with suppress(OSError), unpinned(parcel.paths.checkpoint(generation)):
        # an OSError: a backup reads it, another thread was quicker, or the stick fails; then it stays
        parcel.paths.checkpoint(generation).replace(aside)
    if at_once:
        for file in aside.glob("*"):
            free(file)
    shutil.rmtree(aside, ignore_errors=True)


def free(file: Path) -> None:
    """Gives a file's room back now; the file need not be there."""
    with suppress(OSError):
        os.close(os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW))
