"""What was seen of a session at a PC, and whether it is what had to come: pure, of plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from soulpad.store.stick import BOOT_MARK_BYTES
from tests.pairs.plan import Expectation, Outcome


@dataclass(frozen=True)
class Soul:
    """A report of the guest's program: ``counter`` of the seconds that it lived, ``passes`` of the checking of its
    memory. It was only taken where pattern and file were as they must be."""

    boot_id: str
    counter: int
    passes: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Soul:
        return cls(str(report["boot_id"]), int(report["counter"]), int(report["pattern_verified"]))


@dataclass(frozen=True)
class Suspended:
    """A session as it was suspended: its checkpoint, and the last word of its guest."""

    generation: int
    soul: Soul

    @classmethod
    def decode(cls, text: str) -> Suspended:
        fields = json.loads(text)
        return cls(fields["generation"], Soul(**fields["soul"]))


@dataclass(frozen=True)
class Seen:
    """``findings``: what the prompt said. ``written_bytes``: to the stick before a passphrase was typed.
    ``generation``: of the checkpoint that runs, or that is current after a refusal; None when the store is damaged.
    ``soul``, ``answer``: of a resumed guest; what it said to "verify",
    typed at the PC's keyboard."""

    outcome: Outcome
    findings: tuple[Mapping[str, Any], ...]
    written_bytes: int
    generation: int | None = None
    soul: Soul | None = None
    answer: str = ""


def problems(expected: Expectation, suspended: Suspended, seen: Seen) -> list[str]:
    """What is not as it must be, a sentence each."""
    found = [*about_the_prompt(expected, seen)]
    if seen.outcome != expected.outcome:
        return [*found, f"it was {seen.outcome}, must be {expected.outcome}"]
    if seen.generation != suspended.generation:
        found.append(f"checkpoint {seen.generation} is current, must be {suspended.generation}")
    if seen.outcome is Outcome.RESUMED:
        found += about_the_guest(expected, suspended.soul, seen)
    return found


def about_the_prompt(expected: Expectation, seen: Seen) -> Iterator[str]:
    """The one finding that must be there, of its kind, with its words; nothing written but the boot mark."""
    kinds = [finding["kind"] for finding in seen.findings]
    if kinds != ([expected.finding] if expected.finding else []):
        yield f"the prompt speaks of {kinds or 'nothing'}, must speak of {expected.finding or 'nothing'}"
        return
    for finding in seen.findings:
        if missing := [word for word in expected.words if word not in finding["message"]]:
            yield f"the prompt does not say {', '.join(missing)}: {finding['message']}"
        if finding["refuses"] != (expected.outcome is Outcome.REFUSED):
            yield f"the prompt {'refuses' if finding['refuses'] else 'does not refuse'}: {finding['message']}"
    if seen.written_bytes > BOOT_MARK_BYTES:
        yield f"{seen.written_bytes} bytes were written to the stick before the passphrase"


def about_the_guest(expected: Expectation, before: Soul, seen: Seen) -> Iterator[str]:
    """The same guest, with the same memory, a moment later."""
    after = seen.soul
    if after is None or after.boot_id != before.boot_id:
        yield "the guest was booted anew"
        return
    if after.counter <= before.counter:
        yield f"the guest's counter went from {before.counter} to {after.counter}"
    if expected.picture and "are as they were" not in seen.answer:
        yield f"typed at the keyboard, the guest answers {seen.answer!r}"
