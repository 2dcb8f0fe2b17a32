"""What a stick has of chunks that are used in part: it is used where it is proved, and nothing else is ever written."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import ZEROS, Extent
from lookaside.images import Part
from lookaside.outlines import MAGIC
from lookaside.source import Tally
from lookaside.storedimage import StoredImage
from lookaside.versions import Version, WholeImage
from soulpad.base.secrets import Secret

from .outlined import (
    CHUNK_PAGES,
    DISK,
    NAMES,
    PAGE,
    RAM,
    Contents,
    Machine,
    chunks_of,
    image,
    outlines_of,
    restore,
    stick_of,
)
from .shelves import DOMAIN


def first_contents(disk_pages: int = 2 * CHUNK_PAGES + 10) -> dict[str, list[int]]:
    return {DISK: list(range(1, disk_pages + 1)), RAM: [5, 9, 7001, 7002, 0, 7003]}


def contents_of(pages: dict[str, list[int]]) -> Contents:
    return {name: image(numbers) for name, numbers in pages.items()}


def overwritten(pages: dict[str, list[int]], places: Iterable[tuple[str, int, int]]) -> dict[str, list[int]]:
    """The pages with others at some places; zeros among them."""
    changed = {name: list(numbers) for name, numbers in pages.items()}
    for name, place, number in places:
        changed[name][place % len(changed[name])] = number
    return changed


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Two versions; the second overwrites a page in each chunk of the disk."""
    made = Machine(tmp_path)
    pages = first_contents()
    made.save(contents_of(pages))
    made.save(contents_of(overwritten(pages, [(DISK, 3, 9001), (DISK, 300, 0), (DISK, 515, 9002), (RAM, 2, 9003)])))
    return made


def paths(machine: Machine, number: int) -> dict[str, Path]:
    return {name: machine.path(number, name) for name in NAMES}


def test_a_stick_at_the_versions_own_moment_gives_all_but_the_outlines(machine: Machine) -> None:
    version = machine.version(1)
    found = restore(machine, version, [stick_of(version, paths(machine, 1))])
    assert found.contents == machine.contents[1]
    assert found.asked == set()
    assert outlines_of(version) == ["outlines-0", "outlines-1"]
    outlines = sum(version.images[name].image_bytes for name in outlines_of(version))
    assert 0 < found.tallies["repository"].content_bytes <= outlines < 4 * PAGE
    assert found.told_bytes == (2 * CHUNK_PAGES + 10 - 3 + 2) * PAGE, "the disk's first chunks, and memory's, in part"
    assert found.tallies["stick"].content_bytes >= found.told_bytes


def test_without_outlines_the_same_chunks_come_whole(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    pages = first_contents()
    machine.save(contents_of(pages), outlined=False)
    version = machine.save(contents_of(overwritten(pages, [(DISK, 3, 9001), (DISK, 300, 0)])), outlined=False)
    found = restore(machine, version, [stick_of(version, paths(machine, 1))])
    assert found.contents == machine.contents[1]
    assert found.tallies["repository"].content_bytes > 2 * (CHUNK_PAGES - 1) * PAGE


def test_what_one_moment_lacks_another_may_have(machine: Machine, tmp_path: Path) -> None:
    version = machine.version(1)
    halves = []
    for number, (start, end) in enumerate([(0, 100), (100, 600)]):
        content = bytearray(len(machine.contents[1][DISK]))
        content[start * PAGE : end * PAGE] = machine.contents[1][DISK][start * PAGE : end * PAGE]
        (tmp_path / f"half-{number}").write_bytes(content)
        halves.append(stick_of(version, {DISK: tmp_path / f"half-{number}"}, f"moment {number}"))
    found = restore(machine, version, halves)
    assert found.contents == machine.contents[1]
    disk_chunks = chunks_of(machine.version(0), DISK)
    assert not disk_chunks & found.asked
    assert all(found.tallies[f"moment {number}"].content_bytes >= 99 * PAGE for number in range(2))


def test_a_medium_that_fails_is_asked_no_more_and_said(machine: Machine) -> None:
    version = machine.version(1)
    stick = stick_of(version, paths(machine, 1))
    reads = []

    def fails(part: Part) -> bytes:
        reads.append(part)
        if len(reads) > 1:
            raise OSError(5, "Input/output error")
        return b"something else"

    stick.read = fails  # type: ignore[method-assign]
    found = restore(machine, version, [stick])
    assert found.contents == machine.contents[1]
    assert len(reads) == 2 and found.tallies["stick"].failed == 1


def test_nothing_is_fetched_for_a_stick_that_has_no_such_image(machine: Machine) -> None:
    version = machine.version(1)
    found = restore(machine, version, [stick_of(version, {})])
    assert found.contents == machine.contents[1]
    outlines = set().union(*(chunks_of(version, name) for name in outlines_of(version)))
    assert not outlines & set(machine.store.asked)


def test_of_large_outlines_only_what_is_needed_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookaside.making.ASIDE_BYTES", PAGE)  # page ids of one chunk
    machine = Machine(tmp_path)
    pages = first_contents(8 * CHUNK_PAGES)
    machine.save(contents_of(pages))
    version = machine.save(contents_of(overwritten(pages, [(DISK, 3 * CHUNK_PAGES + 7, 9001)])))
    found = restore(machine, version, [stick_of(version, paths(machine, 1))])
    assert found.contents == machine.contents[1] and not found.asked
    of_second = version.images["outlines-1"].image_bytes
    assert found.tallies["repository"].content_bytes <= 3 * PAGE + of_second < version.images["outlines-0"].image_bytes


# --- whatever history, stick and outlines


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.integers(0, 3 * CHUNK_PAGES), st.sampled_from([0, 3, 7001, *range(8000, 8040)])
    ),
    max_size=12,
)


def stands(machine: Machine, version: Version, stick: Contents) -> set[ChunkId]:
    """By brute force: the chunks used in part of which the stick has all needed pages at some of their places."""
    places: dict[ChunkId, dict[int, list[bytes]]] = {}
    for name in NAMES:
        for extent in version.images[name].extents:
            if extent.chunk != ZEROS:
                for number in range(extent.units):
                    there = stick[name][(extent.start + number) * PAGE :][:PAGE]
                    units = places.setdefault(version.chunks[extent.chunk], {})
                    units.setdefault(extent.chunk_offset + number, []).append(there)
    found = set()
    for chunk_id, units in places.items():
        content = machine.store.chunks[chunk_id]
        is_part = len(units) < -(-len(content) // PAGE)
        if is_part and all(content[unit * PAGE :][:PAGE] in there for unit, there in units.items()):
            found.add(chunk_id)
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=4), st.data())
def test_any_version_comes_back_and_no_chunk_is_asked_for_whose_needed_parts_stand(
    history: list[list[tuple[str, int, int]]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine, pages = Machine(Path(folder)), first_contents(CHUNK_PAGES + 40)
        machine.save(contents_of(pages))
        for changes in history:
            pages = overwritten(pages, changes)
            machine.save(contents_of(pages))
        version = machine.version(wanted := data.draw(st.integers(0, len(history))))
        moment = data.draw(st.integers(0, len(history)))
        stick = {name: bytearray(content) for name, content in machine.contents[moment].items()}
        for name, place in data.draw(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 400)), max_size=4)):
            stick[name][place * PAGE % len(stick[name])] ^= 1
        for name, content in stick.items():
            (machine.folder / f"stick-{name}").write_bytes(content)
        source = stick_of(version, {name: machine.folder / f"stick-{name}" for name in NAMES})
        found = restore(machine, version, [source])
        assert found.contents == machine.contents[wanted]
        assert not found.asked & stands(machine, version, {name: bytes(content) for name, content in stick.items()})


def with_outlines(machine: Machine, version: Version, content: bytes) -> Version:
    """The version with other bytes in the place of its first outlines."""
    chunk_id = DOMAIN.chunk_id(content)
    machine.store.keep(chunk_id, content)
    units = -(-len(content) // PAGE)
    extents = (Extent(0, units, len(version.chunks)),) if content else ()
    images = {**version.images, "outlines-0": WholeImage(len(content), extents)}
    return replace(
        version, images=images, chunks=(*version.chunks, chunk_id), chunk_units=(*version.chunk_units, units)
    )


FOREIGN = Domain(Secret(bytes(range(1, 33))))
BROKEN: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda whole, chance: b"",
    "cut short": lambda whole, chance: whole[: chance.randrange(len(whole))],
    "bytes flipped": lambda whole, chance: bytes(byte ^ (chance.random() < 0.01) for byte in whole),
    "zeros": lambda whole, chance: bytes(len(whole)),
    "zeros behind the head": lambda whole, chance: whole[: 80 + 4 * 36 + 16].ljust(len(whole), b"\0"),
    "noise": lambda whole, chance: chance.randbytes(len(whole)),
    "longer": lambda whole, chance: whole + chance.randbytes(5000),
    "of another key": lambda whole, chance: whole.replace(DOMAIN.public_id, FOREIGN.public_id),
    "of a later version": lambda whole, chance: MAGIC + b"\2" + whole[9:],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_damaged_outlines_cost_traffic_and_nothing_else(machine: Machine, kind: str) -> None:
    version = machine.version(1)
    whole = StoredImage(version.images["outlines-0"], version.chunks, machine.store)
    content = whole.read_at(0, whole.size_bytes)
    for seed in range(5):
        broken = with_outlines(machine, version, BROKEN[kind](content, random.Random(seed)))
        found = restore(machine, broken, [stick_of(broken, paths(machine, 1))])
        assert found.contents == machine.contents[1]


def test_outlines_that_are_lost_cost_traffic_and_nothing_else(machine: Machine) -> None:
    version = machine.version(1)
    for name in outlines_of(version):
        for chunk_id in chunks_of(version, name):
            del machine.store.chunks[chunk_id]
    found = restore(machine, version, [stick_of(version, paths(machine, 1))])
    assert found.contents == machine.contents[1]
    assert found.tallies.get("repository", Tally()).content_bytes > CHUNK_PAGES * PAGE
