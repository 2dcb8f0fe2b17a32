"""What the cycles benchmark's guest writes and touches: drawn anew for each cycle, the same at every run.

Memory: a hot set of short runs that is mostly rewritten in each cycle; runs that were not written before, half of them
close together in a few regions and half anywhere; and one long run in order (the guest's page cache). Disk: a journal
that goes round, single blocks of metadata, and files of many sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from soulpad.base.units import KIB, MIB

PAGE_BYTES = 4 * KIB
HOT_SHARE_REWRITTEN = 0.75
LONGEST_RUN_PAGES = 64
MEAN_RUN_PAGES = 3.0
REGION_BYTES = 2 * MIB
REGIONS = 4
JOURNAL_BYTES = 32 * MIB
FILE_BYTES = (4 * KIB, 4 * KIB, 8 * KIB, 16 * KIB, 64 * KIB, 128 * KIB, 1 * MIB)
SEED = 20111


@dataclass(frozen=True)
class Span:
    """A run of bytes that is written."""

    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True)
class Load:
    """A guest's memory and disk, how much of them is in use, and what it does in a cycle.

    ``touches``: pages that it reads first after a resume, most of them hot.
    """

    memory_mib: int = 1024
    filled_mib: int = 512
    disk_mib: int = 1024
    hot_kib: int = 8 * 1024
    fresh_kib: int = 3 * 1024
    ordered_kib: int = 4 * 1024
    files_kib: int = 4 * 1024
    touches: int = 600

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)

    def memory_spans(self, cycle: int) -> list[Span]:
        """What is written to memory in a cycle, in the order of writing."""
        rng = Random(f"{SEED} memory {cycle}")
        hot = [span for span in self.hot_spans() if rng.random() < HOT_SHARE_REWRITTEN]
        fresh = _runs(rng, self.fresh_kib * KIB // 2, self.filled_mib * MIB) + self.regional_spans(rng)
        ordered_bytes = self.ordered_kib * KIB
        begin = cycle * ordered_bytes % (self.filled_mib * MIB - ordered_bytes)
        spans = [*hot, *fresh]
        rng.shuffle(spans)
        return [*spans, Span(begin, ordered_bytes)]

    def hot_spans(self) -> list[Span]:
        """The hot set, the same in each cycle."""
        return _runs(Random(f"{SEED} hot"), self.hot_kib * KIB, self.filled_mib * MIB)

    def regional_spans(self, rng: Random) -> list[Span]:
        """Half of what was not written before, in REGIONS regions."""
        spans = []
        for _ in range(REGIONS):
            begin = rng.randrange(self.filled_mib * MIB // REGION_BYTES) * REGION_BYTES
            runs = _runs(rng, self.fresh_kib * KIB // 2 // REGIONS, REGION_BYTES)
            spans += [Span(begin + run.offset_bytes, run.length_bytes) for run in runs]
        return spans

    def touched_pages(self, cycle: int) -> list[int]:
        """Pages by number, in the order of touching."""
        rng = Random(f"{SEED} touch {cycle}")
        hot = [span.offset_bytes // PAGE_BYTES for span in self.hot_spans()]
        few = rng.sample(hot, min(len(hot), self.touches * 3 // 4))
        rest = [rng.randrange(self.filled_mib * MIB // PAGE_BYTES) for _ in range(self.touches - len(few))]
        return rng.sample([*few, *rest], self.touches)

    def disk_spans(self, cycle: int) -> list[Span]:
        """What is written to the disk in a cycle, past every cache."""
        rng = Random(f"{SEED} disk {cycle}")
        spans = list(_files(rng, self.files_kib * KIB, self.disk_mib * MIB))
        metadata = [Span(JOURNAL_BYTES + block * 16 * PAGE_BYTES, PAGE_BYTES) for block in range(64)]
        journal = JOURNAL_BYTES // 64
        return [Span(cycle * journal % JOURNAL_BYTES, journal), *spans, *rng.sample(metadata, 40)]


def bytes_in_pages(spans: list[Span]) -> int:
    """Bytes in the pages that the spans touch, each page counted once."""
    pages = {page for span in spans for page in pages_of(span)}
    return len(pages) * PAGE_BYTES


def pages_of(span: Span) -> range:
    """The numbers of the pages of a span."""
    return range(span.offset_bytes // PAGE_BYTES, -(-(span.offset_bytes + span.length_bytes) // PAGE_BYTES))


def _runs(rng: Random, total_bytes: int, within_bytes: int) -> list[Span]:
    """Runs of pages, short ones mostly, anywhere."""
    runs = []
    while total_bytes > 0:
        pages = min(LONGEST_RUN_PAGES, 1 + int(rng.expovariate(1 / (MEAN_RUN_PAGES - 1))))
        first = rng.randrange(within_bytes // PAGE_BYTES - pages)
        runs.append(Span(first * PAGE_BYTES, pages * PAGE_BYTES))
        total_bytes -= pages * PAGE_BYTES
    return runs


def _files(rng: Random, total_bytes: int, within_bytes: int) -> Iterator[Span]:
    """Writes of files' sizes, behind journal and metadata, aligned as a guest's file system does."""
    while total_bytes > 0:
        length = rng.choice(FILE_BYTES)
        first = rng.randrange(2 * JOURNAL_BYTES, within_bytes - length) // PAGE_BYTES
        yield Span(first * PAGE_BYTES, length)
        total_bytes -= length
