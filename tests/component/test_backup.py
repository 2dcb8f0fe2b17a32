"""Backup and restore of real images: made by the builder's parts, changed by the kernel's XFS, read without either."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from builder import create
from builder.debian.toolbox import toolbox
from builder.device.rawdevice import DeviceFailed
from builder.disk import partitions
from builder.disk.esp import write_esp
from builder.host.image import HostImage
from builder.inspect import inspect
from builder.store import luks, xfs, xts
from builder.store.luks import LuksSpec
from builder.store.plainview import plain_view
from builder.store.storedparcels import subjects_on
from builder.store.storeimage import open_store, payload_bytes, write_store
from lookaside.repository import MANIFESTS, PACKS
from soulpad.base.progress import Silent
from soulpad.base.reflink import clone
from soulpad.base.run import run
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
from soulpad.cli.main import main
from soulpad.store.checkpoint import CheckpointManifest, SuspendedState
from soulpad.store.layout import ParcelPaths
from soulpad.store.lineage import history_after
from soulpad.store.parcel import Disk, Machine, ParcelDescription
from soulpad.store.stick import ESP_LABEL, PAYLOAD_OFFSET_BYTES, StickDescription
from tests.component.loops import failing_device, loop_device

pytestmark = pytest.mark.component
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="mounting needs root and loop devices"
)

PASSPHRASE = "an example of twenty and more"
CHEAP = LuksSpec(argon2_memory_kib=1024, argon2_iterations=4, argon2_parallel=1)
DISK_BYTES, RAM_BYTES = 48 * MIB, 16 * MIB
MACHINE = Machine(memory_mib=16, disks=(Disk("disk-0.img", DISK_BYTES),))
WORK, PLAY = ParcelDescription("work", MACHINE), ParcelDescription("play", MACHINE)
Run = Callable[..., int]


def state_of(generation: int) -> bytes:
    return random.Random(generation).randbytes(300_000)


def manifest_of(generation: int, parent: int | None) -> CheckpointManifest:
    state = state_of(generation)
    suspended = SuspendedState(RAM_BYTES, len(state), hashlib.sha256(state).hexdigest(), "kvm", "QEMU 10.0.13", MACHINE)
    return CheckpointManifest(generation, parent, 1763700000 + generation, (DISK_BYTES,), suspended, "suspend")


def tree(folder: Path) -> dict[PurePosixPath, xfs.Content]:
    """A suspended parcel, and one that was never run."""
    chance = random.Random(1)
    disk, ram = folder / "disk.img", folder / "ram.img"
    for path, size_bytes in ((disk, DISK_BYTES), (ram, RAM_BYTES)):
        path.write_bytes(bytes(510) + b"\x55\xaa" + chance.randbytes(5 * MIB))
        os.truncate(path, size_bytes)
    work, play = (PurePosixPath("parcels", parcel.uuid) for parcel in (WORK, PLAY))
    return {
        work / "parcel.json": WORK.encode(),
        work / "current": b"1\n",
        work / "checkpoints/1/checkpoint.json": manifest_of(1, None).encode(),
        work / "checkpoints/1/disk-0.img": disk,
        work / "checkpoints/1/ram.img": ram,
        work / "checkpoints/1/device-state": state_of(1),
        play / "parcel.json": PLAY.encode(),
        play / "current": b"0\n",
        play / "checkpoints/0/checkpoint.json": CheckpointManifest(0, None, 1763700000, (DISK_BYTES,)).encode(),
        play / "checkpoints/0/disk-0.img": disk,
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image; no test changes it."""
    folder = tmp_path_factory.mktemp("stick")
    image = folder / "stick.img"
    layout = partitions.plan(720 * MIB, 4 * MIB, "0badcafe", esp_bytes=272 * MIB, host_slot_bytes=8 * MIB)
    partitions.write_table(image, layout)
    description = StickDescription("0badcafe", "13.2-test", "de-latin1", ())
    write_esp(image, layout.of("esp"), ESP_LABEL, {"soulpad.json": description.encode()})
    store = layout.of("parcels")
    secret = Secret(PASSPHRASE.encode())
    write_store(
        image, store.offset_bytes, store.size_bytes, tree(folder), secret, None, CHEAP, toolbox().argv, Silent(), folder
    )
    return image


@pytest.fixture
def stick(made: Path, tmp_path: Path) -> Path:
    run(["cp", "--sparse=always", made, tmp_path / "stick.img"])
    return tmp_path / "stick.img"


@pytest.fixture
def soulpad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with the passphrase by a file, a home of its own and a small host."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    host = tmp_path / "host"
    host.mkdir()
    for name in ("host.squashfs", "vmlinuz", "initrd.img"):
        (host / name).write_bytes(b"hsqs" + os.urandom(MIB))
    monkeypatch.setattr(create, "build_host", lambda recipe, progress: HostImage(host, "13.2-test"))

    def command(*words: object) -> int:
        return main([*map(str, words), "--passphrase-file", str(tmp_path / "passphrase")])

    return command


def open_plain(image: Path, scratch: Path) -> Path:
    store = partitions.read_layout(image).of("parcels")
    scratch.mkdir(exist_ok=True)
    return open_store(image, store.offset_bytes, store.size_bytes, Secret(PASSPHRASE.encode()), scratch)


def put_back(plain: Path, image: Path, scratch: Path, *, whole: bool = False) -> None:
    """Encrypts a plain store into the image again. ``whole``: also what its file system does not count."""
    store = partitions.read_layout(image).of("parcels")
    luks.copy_header(image, store.offset_bytes, scratch / "header")
    key = luks.volume_key(scratch / "header", Secret(PASSPHRASE.encode()))
    ranges = [(0, plain.stat().st_size)] if whole else xfs.used_ranges(plain, toolbox().argv)
    xts.encrypt(plain, image, store.offset_bytes + PAYLOAD_OFFSET_BYTES, ranges, key, Silent())
    for path in (plain, scratch / "header"):
        path.unlink()


def a_session(image: Path, scratch: Path, generation: int) -> None:
    """What a session on a PC leaves: clones of the last checkpoint in which some was written."""
    plain = open_plain(image, scratch)
    root = scratch / "root"
    root.mkdir(exist_ok=True)
    run(["mount", "-o", "loop", plain, root])
    try:
        paths = ParcelPaths(root, WORK.uuid)
        old, new = paths.checkpoint(generation - 1), paths.checkpoint(generation)
        new.mkdir()
        chance = random.Random(generation)
        for name in ("disk-0.img", "ram.img"):
            clone(old / name, new / name)
            with (new / name).open("r+b", buffering=0) as file:
                for _ in range(40):
                    os.pwrite(file.fileno(), chance.randbytes(4096), chance.randrange(4000) * 4096)
        (new / "device-state").write_bytes(state_of(generation))
        manifest = replace(manifest_of(generation, generation - 1), history=history_after(old))
        (new / "checkpoint.json").write_bytes(manifest.encode())
        paths.current.write_text(f"{generation}\n")
    finally:
        run(["umount", root])
    put_back(plain, image, scratch)


def contents(image: Path) -> dict[tuple[str, str], str]:
    """Of each parcel's current checkpoint the digest of each file."""
    with subjects_on(image, Secret(PASSPHRASE.encode())) as subjects:
        return {
            (subject.description.name, name): hashlib.sha256(file.read_at(0, file.size_bytes)).hexdigest()
            for subject in subjects.whole
            for name, file in subject.current.images().items()
        }


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@needs_root
def test_a_stick_is_backed_up_by_what_changed_and_made_anew_with_its_session(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, scratch = tmp_path / "repository", tmp_path / "scratch"
    assert soulpad("backup", stick, "--to", repository, "--json") == 0
    first = said(capsys)
    assert first["repository_made"] and [item["version"] for item in first["parcels"]] == [0, 0]
    a_session(stick, scratch, 2)
    a_session(stick, scratch, 3)
    assert soulpad("backup", stick, "--to", repository, "--json") == 0
    play, work = said(capsys)["parcels"]
    assert (play["made"], work["made"], work["generation"]) == (False, True, 3)
    assert work["read_bytes"] < work["image_bytes"] / 4  # known by the places, not by reading
    assert work["stored_bytes"] < 20 * MIB

    new = tmp_path / "new.img"
    size = ["--size", "2300MiB", "--unlock-memory", "32MiB"]
    assert soulpad("restore", "--from", repository, new, "--source", stick, "--json", *size) == 0
    told = said(capsys)
    assert contents(new) == contents(stick)
    sources = {source["name"]: source["bytes"] for source in told["bytes"]["sources"]}
    assert sources[str(repository)] < DISK_BYTES // 500, "outlines alone"
    assert sources[f"{stick} (1)"] > 0
    seen = inspect(new, Secret(PASSPHRASE.encode()))
    assert seen.parcels and seen.description and seen.description.keyboard == "de-latin1"
    assert seen.layout.stick_id != "0badcafe"

    assert soulpad("backup", new, "--to", repository) == 0
    assert "nothing has changed" in capsys.readouterr().err
    a_session(new, scratch, 4)
    assert soulpad("backup", new, "--to", repository) == 0
    a_session(stick, scratch, 4)
    capsys.readouterr()
    a_session(stick, scratch, 5)
    assert soulpad("backup", stick, "--to", repository) == 0  # the same writes: the same line
    assert not list(tmp_path.glob(".*"))


@needs_root
def test_a_restore_to_a_device_makes_a_stick_of_it_and_erases_nothing_unasked(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, scratch = tmp_path / "repository", tmp_path / "scratch"
    scratch.mkdir()
    assert soulpad("backup", stick, "--to", repository) == 0
    words = ["restore", "--from", repository, "--unlock-memory", "32MiB", "--scratch", scratch]
    with loop_device(tmp_path / "backing", 2400 * MIB) as device:
        assert soulpad(*words, device, "--yes") == 20  # a loop device is nobody's stick
        assert soulpad(*words, device, "--allow-loop-device") == 2  # nobody is there to confirm
        assert soulpad(*words, device, "--allow-loop-device", "--yes", "--size", "4GB") == 21
        assert (tmp_path / "backing").stat().st_blocks == 0
        capsys.readouterr()
        assert soulpad(*words, device, "--allow-loop-device", "--yes", "--size", "2300MiB", "--json") == 0
        assert said(capsys)["stick"]["image"] == str(device)
        assert contents(device) == contents(stick)
        (old, new) = (partitions.read_layout(path).of("parcels").size_bytes for path in (stick, device))
        assert new > old + 80 * MIB
    assert not list(scratch.iterdir())
    assert soulpad(*words, "/dev/no-such-stick", "--yes") == 20
    assert soulpad(*words[:-1], tmp_path / "nowhere", "/dev/no-such-stick", "--yes") == 20


@needs_root
def test_what_was_restored_is_kept_where_the_device_fails(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, scratch = tmp_path / "repository", tmp_path / "scratch"
    scratch.mkdir()
    assert soulpad("backup", stick, "--to", repository) == 0
    words = ["restore", "--from", repository, "--unlock-memory", "32MiB", "--scratch", scratch, "--size", "2300MiB"]
    capsys.readouterr()
    with failing_device(tmp_path, 2400 * MIB, 24 * MIB) as device:
        assert soulpad(*words, device, "--allow-loop-device", "--yes") == DeviceFailed.exit_code
    (kept,) = scratch.iterdir()
    assert f"soulpad write {kept} DEVICE" in capsys.readouterr().err
    assert contents(kept) == contents(stick)


def test_every_parcels_files_come_back_without_any_source_but_the_repository(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repository"
    before = hashlib.sha256(stick.read_bytes()).digest()
    assert soulpad("backup", stick, "--to", repository) == 0
    assert hashlib.sha256(stick.read_bytes()).digest() == before
    for name in ("work", "play"):
        assert soulpad("restore", "--from", repository, "--parcel", name, "--folder", tmp_path / name) == 0
        files = {(name, path.name) for path in (tmp_path / name).iterdir() if path.suffix != ".json"}
        expected = {key: digest for key, digest in contents(stick).items() if key in files}
        assert expected == {
            key: hashlib.sha256((tmp_path / name / key[1]).read_bytes()).hexdigest() for key in expected
        }
    assert "did not have to come" in capsys.readouterr().err


def test_a_useless_source_costs_nothing_but_a_line(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, foreign = tmp_path / "repository", tmp_path / "foreign"
    assert soulpad("backup", stick, "--to", repository, "--parcel", "work") == 0
    assert soulpad("backup", stick, "--to", foreign, "--parcel", "play") == 0
    (tmp_path / "letter").write_text("dear reader")
    useless = [foreign, tmp_path / "letter", tmp_path / "nowhere", tmp_path / "host"]
    words = [word for path in useless for word in ("--source", path)]
    assert soulpad("restore", "--from", repository, "--folder", tmp_path / "out", *words) == 0
    shown = capsys.readouterr().err
    assert shown.count("is not used") == 3
    expected = {name: digest for (parcel, name), digest in contents(stick).items() if parcel == "work"}
    assert expected == {name: hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() for name in expected}


@needs_root
def test_a_store_that_was_not_closed_in_order_is_refused(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch = tmp_path / "scratch"
    plain = open_plain(stick, scratch)
    (scratch / "root").mkdir()
    run(["mount", "-o", "loop", plain, scratch / "root"])
    (scratch / "root" / "log").write_bytes(b"x" * 10_000)
    run(["fsfreeze", "--freeze", scratch / "root"])  # all is in its place, and nothing was unmounted
    try:
        run(["cp", "--sparse=always", plain, scratch / "as-it-was"])
    finally:
        run(["fsfreeze", "--unfreeze", scratch / "root"])
    run(["umount", scratch / "root"])
    put_back(scratch / "as-it-was", stick, scratch, whole=True)
    assert soulpad("backup", stick, "--to", tmp_path / "repository") == 51
    assert "did not end in order" in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--to", "{tmp}/nowhere/repository"], 10),
        (["--to", "{tmp}/repository", "--parcel", "leisure"], 10),
        (["--to", "{tmp}/host"], 75),
        (["--to", "{tmp}/passphrase"], 75),
        (["--to", "{tmp}/repository", "--repository-passphrase-file", "{tmp}/short"], 11),
    ],
)
def test_what_cannot_be_backed_up_to_is_refused_with_a_line_and_a_hint(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int
) -> None:
    (tmp_path / "short").write_text("short")
    before = {path.name for path in tmp_path.iterdir()}
    assert soulpad("backup", stick, *(word.replace("{tmp}", str(tmp_path)) for word in words)) == code
    lines = [line.split(":")[0] for line in capsys.readouterr().err.splitlines() if ": " in line]
    assert lines[-2:] == ["soulpad", "hint"]
    assert {path.name for path in tmp_path.iterdir()} == before


def test_wrong_secrets_have_exit_code_12_and_a_repository_may_have_its_own(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, own = tmp_path / "repository", tmp_path / "own"
    own.write_text("another example of twenty and more")
    assert soulpad("backup", stick, "--to", repository, "--repository-passphrase-file", own) == 0
    assert soulpad("backup", stick, "--to", repository) == 12
    assert "it may be another than the stick's" in capsys.readouterr().err
    words = ["restore", "--from", str(repository), "--parcel", "work", "--folder", str(tmp_path / "work")]
    assert soulpad(*words) == 12
    assert main([*words, "--passphrase-file", str(own)]) == 0
    assert main(["backup", str(stick), "--to", str(repository), "--passphrase-file", str(own)]) == 12


def test_a_damaged_repository_makes_no_stick(
    stick: Path, soulpad: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, out = tmp_path / "repository", tmp_path / "out.img"
    assert soulpad("backup", stick, "--to", repository) == 0
    (pack, *_) = [path for path in (repository / PACKS).rglob("*") if path.is_file()]
    content = pack.read_bytes()
    pack.write_bytes(content[: len(content) // 2])
    words = ["restore", "--from", repository, out, "--size", "2300MiB", "--unlock-memory", "32MiB"]
    assert soulpad(*words) == 70
    pack.write_bytes(content)
    for path in (repository / MANIFESTS).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    assert soulpad(*words) == 73
    assert not out.exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("words", [[], ["OUT", "--folder", "x"]])
def test_a_restore_must_know_what_to_make(words: list[str], tmp_path: Path) -> None:
    assert main(["restore", "--from", str(tmp_path), *words]) == 2


def test_only_what_is_asked_for_is_decrypted_and_never_to_a_disk(stick: Path, tmp_path: Path) -> None:
    store = partitions.read_layout(stick).of("parcels")
    with plain_view(stick, store, Secret(PASSPHRASE.encode())) as view, pytest.raises(Exception, match="outside"):
        view.read(payload_bytes(store.size_bytes), 1)
