"""Creating sticks from the command line: what is refused leaves nothing behind, what is made is whole."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from builder.disk.partitions import read_layout
from builder.inspect import inspect
from soulpad.base.run import run, start
from soulpad.base.secrets import Secret
from soulpad.base.units import GIB, MIB
from soulpad.cli.main import main

pytestmark = pytest.mark.component

PASSPHRASE = "an example of twenty and more"
LEAST_ARGUMENTS = ["--unlock-memory", "32MiB"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a passphrase file and a small bootable-looking guest disk."""
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    guest = tmp_path / "guest.img"
    guest.write_bytes(bytes(510) + b"\x55\xaa")
    with guest.open("r+b") as file:
        file.truncate(64 * MIB)
    return tmp_path


def create(folder: Path, *arguments: str, size: str = "4GiB", guest: str = "guest.img") -> int:
    words = ["create", str(folder / "stick.img"), "--size", size, "--parcel", f"work={folder / guest}"]
    return main([*words, "--passphrase-file", str(folder / "passphrase"), *LEAST_ARGUMENTS, *arguments])


def complaint(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(("soulpad:", "hint:"))]


def assert_refused(
    code: int, expected: int, capsys: pytest.CaptureFixture[str], before: set[str], folder: Path
) -> None:
    assert code == expected
    lines = complaint(capsys)
    assert [line.split(":")[0] for line in lines] == ["soulpad", "hint"]
    assert {path.name for path in folder.iterdir()} == before


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_short_passphrase_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "passphrase").write_text("too short")
    before = names_in(folder)
    assert_refused(create(folder), 11, capsys, before, folder)


def test_guest_that_is_no_disk_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "letter.txt").write_text("dear reader\n" * 1000)
    before = names_in(folder)
    assert_refused(create(folder, guest="letter.txt"), 10, capsys, before, folder)


def test_guest_that_is_not_there_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names_in(folder)
    assert_refused(create(folder, guest="nowhere.qcow2"), 10, capsys, before, folder)


def test_an_unknown_cpu_class_is_refused_with_those_that_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(folder, guest="guest.img,cpu-class=fast") == 10
    [line, hint] = complaint(capsys)
    assert "'fast' is no CPU class" in line and "any-pc, x86-64-v2-aes, x86-64-v3" in hint


def test_size_too_small_for_the_parcels_names_the_least_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names_in(folder)
    code = create(folder, size="2300MiB")
    message = capsys.readouterr().err
    assert code == 10
    assert "--size" in message
    assert names_in(folder) == before


def test_size_too_small_for_a_host_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names_in(folder)
    assert_refused(create(folder, size="500MiB"), 10, capsys, before, folder)


def test_full_disk_is_said_and_nothing_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = folder / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=100M", "tmpfs", small])
    try:
        words = ["create", str(small / "stick.img"), "--size", "4GiB", "--parcel", f"work={folder / 'guest.img'}"]
        code = main([*words, "--passphrase-file", str(folder / "passphrase"), *LEAST_ARGUMENTS])
        assert code == 40
        assert [line.split(":")[0] for line in complaint(capsys)] == ["soulpad", "hint"]
        assert names_in(small) == set()
    finally:
        run(["umount", small])


def test_ctrl_c_leaves_no_litter_and_the_next_run_works(folder: Path) -> None:
    before = names_in(folder)
    words = ["create", str(folder / "stick.img"), "--size", "4GiB", "--parcel", f"work={folder / 'guest.img'}"]
    secret = ["--passphrase-file", str(folder / "passphrase"), *LEAST_ARGUMENTS]
    with (folder.parent / "said").open("w+b") as said:
        process = start([sys.executable, "-m", "soulpad.cli", *words, *secret], stderr=said)
        while "Writing the host" not in (folder.parent / "said").read_text():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert names_in(folder) == before
    assert create(folder) == 0


def test_stick_from_qcow2_is_whole_and_says_what_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["qemu-img", "convert", "-O", "qcow2", folder / "guest.img", folder / "guest.qcow2"])
    assert create(folder, "--key-file", str(folder), "--json", guest="guest.qcow2") == 0
    made = json.loads(capsys.readouterr().out)
    layout = read_layout(folder / "stick.img")
    assert layout.total_bytes == 4 * GIB
    assert layout.stick_id == made["stick_id"]
    assert made["host_bytes"] <= 320_000_000
    seen = inspect(folder / "stick.img", Secret(Path(made["key_file"]).read_bytes()))
    assert seen.parcels is not None
    assert seen.parcels[0].description is not None
    assert seen.parcels[0].description.name == "work"
    assert seen.problems == ()


def test_secrets_are_nowhere_in_the_image(folder: Path) -> None:
    assert create(folder) == 0
    image = (folder / "stick.img").open("rb")
    with image:
        while piece := image.read(64 * MIB):
            assert PASSPHRASE.encode() not in piece
