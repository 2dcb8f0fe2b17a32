"""Versions: what was cut comes back, differences add up, and what turned to zeros is zeros again."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookaside.assembling import assemble
from lookaside.cutting import CHUNK_BYTES
from lookaside.errors import ChunkMissing, CorruptChunk, DamagedManifest
from lookaside.extentmap import Extent
from lookaside.making import VersionMaker
from lookaside.manifest import Manifest, VersionName, decode_manifest, encode_manifest, version_name
from lookaside.versions import Version, as_keyframe, needs_keyframe, resolved
from soulpad.base.spans import Span

from .shelves import DOMAIN, MemoryStore, contents, write_sparse


class History:
    """Versions of one image, kept in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.manifests: dict[VersionName, bytes] = {}
        self.names: list[VersionName] = []

    def add(self, path: Path, changed: list[Span] | None) -> None:
        maker = VersionMaker(DOMAIN, self.store)
        maker.add_image("disk-0.img", path, changed)
        previous = self.names[-1] if self.names else None
        base = None if changed is None else previous
        self.keep(maker.manifest("a parcel", len(self.names), previous, base, {}))

    def keep(self, manifest: Manifest) -> None:
        encoded = encode_manifest(DOMAIN, manifest)
        self.names.append(version_name(encoded))
        self.manifests[self.names[-1]] = encoded

    def load(self, name: VersionName) -> Manifest:
        return decode_manifest(DOMAIN, self.manifests[name])

    def version(self, index: int) -> Version:
        return resolved(self.names[index], self.load)

    def content(self, index: int, folder: Path) -> bytes:
        version, target = self.version(index), folder / "assembled.img"
        target.unlink(missing_ok=True)
        image = version.images["disk-0.img"]
        assemble(target, image.image_bytes, image.extents, version.chunks, self.store)
        return target.read_bytes()


def difference(old: bytes, new: bytes) -> list[Span]:
    """Where ``new`` differs, by blocks of 512 bytes; the growth too."""
    starts = range(0, len(new), 512)
    return [(at, min(at + 512, len(new))) for at in starts if old[at : at + 512] != new[at : at + 512]]


@settings(max_examples=60, deadline=None)
@given(st.lists(contents(), min_size=1, max_size=4))
def test_every_version_of_an_image_comes_back_byte_by_byte(images: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, history = Path(name), History()
        path, before = folder / "image", None
        for content in images:
            write_sparse(path, content)
            history.add(path, None if before is None else difference(before, content))
            before = content
        assert [history.content(index, folder) for index in range(len(images))] == images


def test_what_turned_to_zeros_is_zeros_again_also_over_an_older_file(tmp_path: Path) -> None:
    history, path = History(), tmp_path / "image"
    full, emptied = b"\xaa" * 4 * CHUNK_BYTES, b"\xaa" * CHUNK_BYTES + bytes(2 * CHUNK_BYTES) + b"\xaa" * CHUNK_BYTES
    write_sparse(path, full)
    history.add(path, None)
    write_sparse(path, emptied)
    history.add(path, difference(full, emptied))
    stale = tmp_path / "stale"
    stale.write_bytes(full)
    manifest = history.load(history.names[1])
    assemble(stale, len(emptied), manifest.images[0].extents, manifest.chunks, history.store)
    assert stale.read_bytes() == emptied
    assert stale.stat().st_blocks * 512 < len(full)


def test_an_image_that_shrinks_and_grows_again_does_not_get_its_old_end_back(tmp_path: Path) -> None:
    history, path = History(), tmp_path / "image"
    for content, changed in ((b"\xbb" * 9000, None), (b"\xbb" * 4096, []), (b"\xbb" * 4096 + bytes(5000), [])):
        write_sparse(path, content)
        history.add(path, changed)
    assert history.content(2, tmp_path) == b"\xbb" * 4096 + bytes(5000)


def test_a_chunk_that_was_there_before_is_stored_once(tmp_path: Path) -> None:
    history, path = History(), tmp_path / "image"
    write_sparse(path, b"\xcc" * 10 * CHUNK_BYTES)
    history.add(path, None)
    assert len(history.store.chunks) == 1 and len(history.load(history.names[0]).chunks) == 1


def test_a_keyframe_means_the_same_and_names_no_chunk_that_went(tmp_path: Path) -> None:
    history, path = History(), tmp_path / "image"
    old = b"\x01" * CHUNK_BYTES + b"\x02" * CHUNK_BYTES
    new = b"\x03" * CHUNK_BYTES + b"\x02" * CHUNK_BYTES
    write_sparse(path, old)
    history.add(path, None)
    write_sparse(path, new)
    history.add(path, difference(old, new))
    keyframe = as_keyframe(history.version(1))
    assert keyframe.base is None and keyframe.previous == history.names[0]
    history.keep(keyframe)
    assert history.content(2, tmp_path) == new
    assert len(keyframe.chunks) == 2 and len(history.version(1).chunks) == 3


def test_a_chain_of_differences_is_not_without_end() -> None:
    assert not needs_keyframe(0) and needs_keyframe(100)


def test_a_version_that_builds_on_itself_or_on_another_parcels_is_refused() -> None:
    history = History()
    history.keep(Manifest("one", 3, None, None, ()))
    history.keep(Manifest("other", 4, None, history.names[0], ()))
    history.keep(Manifest("one", 3, None, history.names[0], ()))
    for index in (1, 2):
        with pytest.raises(DamagedManifest):
            history.version(index)


def test_a_chunk_that_is_missing_or_too_short_is_no_silent_hole(tmp_path: Path) -> None:
    store = MemoryStore()
    chunk_id = DOMAIN.chunk_id(b"x" * 100)
    extents = [Extent(0, 1, 0)]
    with pytest.raises(ChunkMissing):
        assemble(tmp_path / "one", 4096, extents, [chunk_id], store)
    store.keep(chunk_id, b"x" * 100)
    with pytest.raises(CorruptChunk):
        assemble(tmp_path / "two", 4096, extents, [chunk_id], store)
