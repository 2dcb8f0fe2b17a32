"""Memory and differences page by page: what comes back, what need not be stored, and page ids that are not true."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookaside import paging
from lookaside.assembling import Target, assemble, assemble_together
from lookaside.athand import SUFFIX, AtHand
from lookaside.domain import ChunkId, Domain
from lookaside.extentmap import ZEROS, Extent, joined
from lookaside.making import VersionMaker
from lookaside.manifest import Manifest, VersionName, decode_manifest, encode_manifest, version_name
from lookaside.pageids import ids_of, page_ids
from lookaside.versions import Version, resolved
from soulpad.base.spans import Span

from .shelves import DOMAIN, MemoryStore, write_sparse

DISK, RAM = "disk-0.img", "ram.img"
PAGE = 4096


def page(number: int) -> bytes:
    """A page of its own for each number; 0 is zeros."""
    return hashlib.shake_128(number.to_bytes(4, "little")).digest(PAGE) if number else bytes(PAGE)


def image(numbers: list[int]) -> bytes:
    return b"".join(map(page, numbers))


class Machine:
    """A disk and a memory, their versions, and all that is at hand when the next one is made."""

    def __init__(self, folder: Path, base_is_there: bool = True) -> None:
        self.folder = folder
        self.base_is_there = base_is_there
        self.store = MemoryStore()
        self.manifests: dict[VersionName, bytes] = {}
        self.names: list[VersionName] = []
        self.files: dict[str, Path] = {}
        self.pages = folder / "pages"
        self.pages.mkdir()

    def save(self, disk: bytes, ram: bytes, changed: dict[str, list[Span]] | None = None) -> int:
        """Makes the next version; returns how many bytes of content it stored."""
        before = sum(map(len, self.store.chunks.values()))
        base = self.version() if self.names else None
        old, self.files = self.files, {}
        maker = VersionMaker(DOMAIN, self.store, AtHand(self.pages, base, old if self.base_is_there else {}))
        for name, content, add in ((DISK, disk, maker.add_image), (RAM, ram, maker.add_memory)):
            path = self.folder / f"{len(self.names)}-{name}"
            write_sparse(path, content)
            add(name, path, (changed or {}).get(name, [(0, len(content))]) if base else None)
            self.files[name] = path
        previous = self.names[-1] if self.names else None
        self.keep(maker.manifest("a parcel", len(self.names), previous, previous, {}))
        return sum(map(len, self.store.chunks.values())) - before

    def keep(self, manifest: Manifest) -> None:
        encoded = encode_manifest(DOMAIN, manifest)
        self.names.append(version_name(encoded))
        self.manifests[self.names[-1]] = encoded

    def manifest(self, name: VersionName) -> Manifest:
        return decode_manifest(DOMAIN, self.manifests[name])

    def version(self) -> Version:
        return resolved(self.names[-1], self.manifest)

    def content(self, name: str) -> bytes:
        version, target = self.version(), self.folder / "assembled"
        target.unlink(missing_ok=True)
        found = version.images[name]
        assemble(target, found.image_bytes, found.extents, version.chunks, self.store)
        return target.read_bytes()


PAGES = st.lists(st.integers(0, 12), max_size=24)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(PAGES, PAGES), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32))
def test_disk_and_memory_come_back_whatever_is_at_hand(
    versions: list[tuple[list[int], list[int]]], base_is_there: bool, seed: int
) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder), base_is_there)
        for disk, ram in versions:
            for path in machine.pages.iterdir():
                match chance.randrange(4):
                    case 0:
                        path.unlink()
                    case 1:
                        path.write_bytes(path.read_bytes()[: chance.randrange(200)])
                    case 2:
                        path.write_bytes(path.read_bytes()[:64] + chance.randbytes(64))
            machine.save(image(disk), image(ram))
            assert machine.content(DISK) == image(disk)
            assert machine.content(RAM) == image(ram)


@settings(max_examples=30, deadline=None)
@given(PAGES, st.integers(1, PAGE - 1))
def test_an_image_whose_last_page_is_short_comes_back(numbers: list[int], short: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        content = image([*numbers, 7])[: len(numbers) * PAGE + short]
        for _ in range(2):
            machine.save(content, content)
            assert machine.content(RAM) == machine.content(DISK) == content
            content = content[1:]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_memory_that_is_on_the_disk_is_not_stored_again(machine: Machine) -> None:
    stored = machine.save(image([1, 2, 3, 4, 5]), image([5, 9, 1, 0, 2]))
    assert stored == 6 * PAGE
    assert machine.save(image([1, 2, 3, 8, 5]), image([5, 9, 8, 8, 1])) == PAGE


def test_memory_that_moved_within_memory_is_not_stored_again(machine: Machine) -> None:
    machine.save(image([1]), image([2, 3, 4, 5]))
    assert machine.save(image([1]), image([5, 4, 3, 2, 2])) == 0


def test_a_page_that_is_as_it_was_is_not_in_the_difference(machine: Machine) -> None:
    machine.save(image([1, 2]), image([2, 3, 4]))
    machine.save(image([1, 2]), image([2, 3, 6]))
    disk, ram = machine.manifest(machine.names[-1]).images
    assert disk.extents == () and [extent.start for extent in ram.extents] == [2]


def test_only_what_changed_is_read(machine: Machine) -> None:
    machine.save(image([1, 2, 3]), image([4, 5, 6]))
    machine.save(image([1, 9, 3]), image([4, 9, 6]), {DISK: [], RAM: [(4096, 4097)]})
    assert machine.content(DISK) == image([1, 2, 3]), "the disk was said to be as before"
    assert machine.content(RAM) == image([4, 9, 6])


def test_page_ids_that_were_lost_are_made_anew_by_reading(machine: Machine) -> None:
    machine.save(image([1, 2, 3, 4]), image([7]))
    (machine.pages / f"{DISK}{SUFFIX}").unlink()
    assert machine.save(image([1, 2, 3, 4]), image([3]), {DISK: [(0, 1)]}) == 0


def test_page_ids_of_another_domain_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    with page_ids(path, DOMAIN, PAGE) as (_, there):
        assert not there
    for domain, expected in ((DOMAIN, True), (Domain.new(), False)):
        with page_ids(path, domain, PAGE) as (_, there):
            assert there is expected


def test_page_ids_that_were_broken_off_begin_anew(tmp_path: Path) -> None:
    def break_off() -> None:
        with page_ids(tmp_path / "ids", DOMAIN, PAGE):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            break_off()
    with page_ids(tmp_path / "ids", DOMAIN, PAGE) as (_, there):
        assert not there


def test_windows_and_groups_may_end_anywhere(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "WINDOW_PAGES", 5)
    monkeypatch.setattr(paging, "CHUNK_BYTES", 2 * PAGE)
    for ram in (list(range(1, 18)), [*range(30, 43), 1, 1, 2]):
        machine.save(image([40, 41]), image(ram))
        assert machine.content(RAM) == image(ram)


def test_what_the_store_lost_is_stored_again_where_it_is_looked_at(machine: Machine) -> None:
    machine.save(image([1, 2, 3]), image([4, 2, 0]))
    machine.store.chunks.clear()
    assert machine.save(image([1, 2, 3]), image([4, 2, 0])) == 4 * PAGE
    assert machine.content(DISK) == image([1, 2, 3]) and machine.content(RAM) == image([4, 2, 0])


def test_a_chunk_that_disk_and_memory_have_parts_of_is_asked_for_once(machine: Machine, tmp_path: Path) -> None:
    for ram in ([2, 9, 1, 3], [2, 8, 0, 1]):
        machine.save(image([1, 2, 3]), image(ram))
    version, asked = machine.version(), Counter[ChunkId]()

    class Counting(MemoryStore):
        def get(self, chunk_id: ChunkId) -> bytes:
            asked[chunk_id] += 1
            return machine.store.get(chunk_id)

    targets = [Target(tmp_path / f"new {name}", one.image_bytes, one.extents) for name, one in version.images.items()]
    assemble_together(targets, version.chunks, Counting())
    assert (tmp_path / f"new {RAM}").read_bytes() == image([2, 8, 0, 1])
    assert (tmp_path / f"new {DISK}").read_bytes() == image([1, 2, 3])
    assert set(asked.values()) == {1}


def test_no_room_for_page_ids_is_no_reason_to_make_no_version(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    machine.save(image([1, 2]), image([3]))
    with page_ids(tmp := machine.pages / "other", DOMAIN, PAGE) as (ids, _):
        monkeypatch.setattr(os, "pwrite", is_full)
        ids.write(0, ids_of(DOMAIN, page(5)))
        monkeypatch.undo()
        assert list(ids.read(0, 9)) == [0]
    assert tmp.exists()


def test_a_base_that_is_not_at_hand_costs_room_and_nothing_else(tmp_path: Path) -> None:
    machine = Machine(tmp_path, base_is_there=False)
    machine.save(image([1, 2]), image([3, 4]))
    assert machine.save(image([1, 2]), image([3, 4, 5])) == 3 * PAGE
    assert machine.content(RAM) == image([3, 4, 5])


@pytest.mark.parametrize(
    ("extents", "expected"),
    [
        ([Extent(0, 1, 3, 7), Extent(1, 2, 3, 8)], [Extent(0, 3, 3, 7)]),
        ([Extent(0, 1, ZEROS), Extent(1, 1, ZEROS), Extent(3, 1, ZEROS)], [Extent(0, 2, ZEROS), Extent(3, 1, ZEROS)]),
        ([Extent(0, 1, 3, 7), Extent(1, 1, 3, 7), Extent(2, 1, 4, 8)], None),
        ([], []),
    ],
)
def test_neighbours_that_go_on_are_one_extent(extents: list[Extent], expected: list[Extent] | None) -> None:
    assert list(joined(extents)) == (extents if expected is None else expected)
