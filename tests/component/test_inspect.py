"""Inspecting a real image: partitions, ESP, host, LUKS2 header and XFS, made by the builder's own parts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from builder.debian.toolbox import toolbox
from builder.device.devices import resolve
from builder.device.espcopy import fat_sector_bytes
from builder.disk import partitions
from builder.disk.esp import put_esp_files
from builder.inspect import Inspection, inspect
from builder.store import plainview, xfs, xfsread
from builder.store.storeimage import open_store
from builder.store.xfswalk import Inode, Xfs
from builder.write import WriteOptions, write_image
from soulpad.base.errors import BadImage, WrongPassphrase
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
from soulpad.cli.main import main
from tests.component.smallstick import (
    DESCRIPTION,
    DISK_BYTES,
    KEY,
    PASSPHRASE,
    PLAY,
    RAM_BYTES,
    STICK_ID,
    WORK,
    parcel_tree,
    small_stick,
    suspended,
)

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[PurePosixPath, xfs.Content]:
    return parcel_tree(tmp_path_factory.mktemp("guest"))


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory, tree: dict[PurePosixPath, xfs.Content]) -> Path:
    return small_stick(tmp_path_factory.mktemp("stick"), tree)


@pytest.fixture
def damaged(stick: Path, tmp_path: Path) -> Callable[[int, bytes], Path]:
    """A copy of the stick with other bytes somewhere."""

    def copy(offset_bytes: int, content: bytes) -> Path:
        path = tmp_path / "damaged.img"
        run(["cp", "--sparse=always", stick, path])
        with path.open("r+b") as file:
            file.seek(offset_bytes)
            file.write(content)
        return path

    return copy


def test_without_a_secret_the_public_part_is_seen_and_nothing_else(stick: Path) -> None:
    found = inspect(stick)
    assert found.layout.stick_id == STICK_ID
    assert found.description == DESCRIPTION
    assert found.hosts[0].image_bytes > 100_000
    assert found.hosts[1].image_bytes == 0
    assert found.header and [slot.role for slot in found.header.slots] == ["owner-passphrase", "key-file"]
    assert found.parcels is None
    assert found.problems == ()


@pytest.mark.parametrize("secret", [PASSPHRASE, KEY])
def test_with_any_secret_the_parcels_and_their_checkpoints_are_seen(stick: Path, secret: Secret) -> None:
    found = inspect(stick, secret)
    assert found.parcels
    parcel = next(parcel for parcel in found.parcels if parcel.uuid == WORK.uuid)
    assert parcel.description == WORK
    assert parcel.in_session
    cold, warm = parcel.checkpoints
    assert (cold.generation, cold.current, warm.generation, warm.current) == (1, False, 2, True)
    assert cold.manifest and cold.manifest.kind == "disk-only"
    assert warm.manifest == suspended(2, 1)
    assert warm.size_bytes > DISK_BYTES + RAM_BYTES
    assert 2 * MIB <= warm.allocated_bytes < 4 * MIB
    assert parcel.problems == ()


def test_a_parcel_that_lacks_files_is_shown_with_what_it_lacks(stick: Path) -> None:
    found = inspect(stick, PASSPHRASE)
    assert found.parcels
    parcel = next(parcel for parcel in found.parcels if parcel.uuid == PLAY.uuid)
    assert "current checkpoint, 7, is missing" in parcel.problem
    assert "ram.img, device-state missing" in parcel.checkpoints[0].problem
    assert set(parcel.problems) == set(found.problems)


def test_another_reader_of_xfs_finds_the_same_files(stick: Path, tmp_path: Path) -> None:
    store = partitions.read_layout(stick).of("parcels")
    plain = open_store(stick, store.offset_bytes, store.size_bytes, PASSPHRASE, tmp_path)
    expected = {path: entry.size_bytes for path, entry in xfsread.list_tree(plain, toolbox().argv).items()}
    with plainview.plain_view(stick, store, PASSPHRASE) as view:
        files = walk(Xfs(view), PurePosixPath())
        assert {path: inode.size_bytes for path, inode in files.items()} == expected
        assert view.sectors_read * 4096 < 4 * MIB  # of 400: only what lies on the way


def walk(store: Xfs, folder: PurePosixPath) -> dict[PurePosixPath, Inode]:
    found = {folder / name: inode for name, inode in store.children(folder).items()}
    below = [walk(store, path) for path, inode in found.items() if inode.is_folder]
    return found | {path: inode for part in below for path, inode in part.items()}


def test_a_large_folder_and_a_long_file_are_read_whole(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    tree: dict[PurePosixPath, xfs.Content] = {PurePosixPath("long"): content}
    tree |= {PurePosixPath("many", f"a-name-of-some-length-{index}"): b"" for index in range(1500)}
    image = tmp_path / "plain.img"
    xfs.make_xfs(image, 320 * MIB, tree, "parcels", toolbox().argv)
    with image.open("rb", buffering=0) as file:
        store = Xfs(FileView(file.fileno()))
        assert store.read_file(PurePosixPath("long")) == content
        assert set(walk(store, PurePosixPath())) == {*tree, PurePosixPath("many")}
        assert store.read_file(PurePosixPath("not-there")) is None


class FileView:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        return os.pread(self._descriptor, length_bytes, offset_bytes)


def test_nothing_is_written_to_what_is_inspected(stick: Path) -> None:
    before = hashlib.sha256(stick.read_bytes()).digest()
    inspect(stick, PASSPHRASE)
    assert hashlib.sha256(stick.read_bytes()).digest() == before


def test_a_wrong_passphrase_has_exit_code_12(stick: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the passphrase of this stick")
    with pytest.raises(WrongPassphrase):
        inspect(stick, Secret(b"not the passphrase of this stick"))
    assert main(["inspect", str(stick), "--passphrase-file", str(wrong)]) == 12


def test_a_truncated_image_and_a_foreign_file_have_exit_code_30(stick: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.img"
    run(["cp", "--sparse=always", stick, short])
    os.truncate(short, 500 * MIB)
    with pytest.raises(BadImage, match="truncated"):
        inspect(short)
    (tmp_path / "foreign").write_bytes(os.urandom(MIB))
    assert main(["inspect", str(tmp_path / "foreign")]) == 30
    assert main(["inspect", str(tmp_path)]) == 30
    assert main(["inspect", str(tmp_path / "nothing")]) == 30


def problems_of(found: Inspection) -> str:
    return "; ".join(found.problems)


def test_one_damaged_part_does_not_hide_the_others(stick: Path, damaged: Callable[[int, bytes], Path]) -> None:
    layout = partitions.read_layout(stick)
    found = inspect(damaged(layout.of("esp").offset_bytes, bytes(MIB)), PASSPHRASE)
    assert found.description is None and "ESP" in problems_of(found)
    assert found.parcels is not None
    found = inspect(damaged(layout.of("parcels").offset_bytes, bytes(16 * MIB)), PASSPHRASE)
    assert found.header is None and found.description == DESCRIPTION
    assert "no encrypted store" in problems_of(found)
    found = inspect(damaged(layout.of("parcels").offset_bytes + 16 * MIB, os.urandom(4096)), PASSPHRASE)
    assert found.parcels is None and "no XFS" in problems_of(found)


def test_a_public_description_of_another_version_is_said(stick: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.img"
    run(["cp", "--sparse=always", stick, newer])
    esp = partitions.read_layout(newer).of("esp")
    put_esp_files(newer, esp, {"soulpad.json": b'{"format": "soulpad-stick/99"}'})
    assert "soulpad-stick/99" in problems_of(inspect(newer))


def test_the_json_for_machines_holds_all_of_it(stick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "stick.key"
    key.write_bytes(KEY.reveal())
    assert main(["inspect", str(stick), "--key-file", str(key), "--json"]) == 51  # one of the parcels is damaged
    found = json.loads(capsys.readouterr().out)
    parcel = next(parcel for parcel in found["parcels"] if parcel["name"] == WORK.name)
    assert parcel["current"] == 2
    assert [checkpoint["kind"] for checkpoint in parcel["checkpoints"]] == ["disk-only", "suspended"]
    assert found["description"]["host_version"] == "13.2-test"
    assert len(found["problems"]) == 2
    assert main(["inspect", str(stick), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parcels"] is None


def test_people_see_names_as_they_were_given(stick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, PASSPHRASE.reveal() + b"\n")
    os.close(write_end)
    assert main(["inspect", str(stick), "--passphrase-fd", str(read_end)]) == 51
    os.close(read_end)
    shown = capsys.readouterr().err
    assert "work [at home]" in shown
    assert "of the class any-pc (Nehalem-v1,-vme)" in " ".join(shown.split())
    assert "owner passphrase (slot 0, argon2id, 1 MiB)" in shown


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs root and loop devices")
@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_a_written_device_is_inspected_like_its_image(stick: Path, tmp_path: Path, sector_bytes: int) -> None:
    backing = tmp_path / "backing"
    backing.touch()
    os.truncate(backing, 800 * MIB)
    made = run(["losetup", "--find", "--show", "--sector-size", str(sector_bytes), backing])
    device = Path(made.stdout.strip())
    try:
        write_image(stick, resolve(str(device), allow_loop=True), WriteOptions(), Silent())
        found, expected = inspect(device, PASSPHRASE), inspect(stick, PASSPHRASE)
        assert (found.description, found.parcels, found.hosts) == (
            expected.description,
            expected.parcels,
            expected.hosts,
        )
        assert found.layout.of("parcels").size_bytes > expected.layout.of("parcels").size_bytes
        assert fat_sector_bytes(device, found.layout) == sector_bytes
        esp = found.layout.of("esp")
        with (tmp_path / "esp.img").open("wb") as copy, device.open("rb") as source:
            source.seek(esp.offset_bytes)
            copy.write(source.read(esp.size_bytes))
        run(["fsck.fat", "-n", tmp_path / "esp.img"])
    finally:
        run(["losetup", "--detach", device])
