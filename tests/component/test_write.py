"""Writing to block devices: loop devices with sectors of 512 and of 4096 bytes stand for sticks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from builder.device.devices import resolve
from builder.device.rawdevice import DeviceFailed, RawDevice
from builder.disk.esp import write_esp
from builder.disk.partitions import Layout, plan, read_layout, write_table
from builder.write import WriteOptions, WriteReport, write_image
from soulpad.base.errors import BadImage, DeviceRefused, Interrupted, VerifyFailed
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.base.units import MIB
from soulpad.cli.main import main
from tests.component.loops import failing_device, loop_device

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs root and loop devices"
    ),
]

STALE = b"\xee"
DEVICE_BYTES = 512 * MIB
STICK_ID = "0badcafe"


@pytest.fixture(params=[512, 4096])
def stick(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A loop device that stands for a stick; its backing file is ``backing`` in the same folder."""
    with loop_device(tmp_path / "backing", DEVICE_BYTES, request.param) as device:
        yield device


@pytest.fixture
def image(tmp_path: Path) -> tuple[Path, Layout]:
    """A stick image with recognisable data at the start of each partition and far inside two of them."""
    path = tmp_path / "stick.img"
    layout = plan(420 * MIB, 4 * MIB, STICK_ID, esp_bytes=34 * MIB, host_slot_bytes=8 * MIB)
    write_table(path, layout)
    for partition in layout.partitions:
        if partition.role != "host-b":
            put(path, partition.offset_bytes, partition.role.encode() * 1000)
    put(path, layout.of("esp").offset_bytes + 20 * MIB, os.urandom(5 * MIB + 12345))
    put(path, layout.of("parcels").offset_bytes + 200 * MIB, os.urandom(9 * MIB))
    put(path, 0, b"boot code")
    return path, layout


def put(path: Path, offset_bytes: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset_bytes)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def get(path: Path, offset_bytes: int, length_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset_bytes)
        return file.read(length_bytes)


def make_stale(device: Path, *offsets: int) -> None:
    """A MiB of another life at each offset."""
    for offset in offsets:
        put(device, offset, STALE * MIB)


def add_partition(device: Path) -> None:
    """Tells the kernel of a partition, whether or not it can read partition tables itself."""
    run(["addpart", device, "1", "2048", str((32 * MIB) // 512)])


def written(image: Path, device: Path, progress: Silent | None = None) -> WriteReport:
    return write_image(image, resolve(str(device), allow_loop=True), WriteOptions(), progress or Silent())


class CallAt(Silent):
    """Calls back when a step begins."""

    def __init__(self, step: str, call: Callable[[], None]) -> None:
        self._step, self._call = step, call

    def step(self, name: str) -> None:
        if name.startswith(self._step):
            self._call()


def test_a_written_device_is_the_images_stick_and_fills_the_device(stick: Path, image: tuple[Path, Layout]) -> None:
    path, layout = image
    report = written(path, stick)
    found = read_layout(stick)
    assert found.stick_id == STICK_ID and report.verified
    assert found.sector_bytes == int(run(["blockdev", "--getss", stick]).stdout)
    assert found.total_bytes == DEVICE_BYTES
    assert found.of("parcels").end_bytes == DEVICE_BYTES - MIB
    assert get(stick, 0, 9) == b"boot code"
    for role in ("bios", "esp", "host-a", "parcels"):
        assert get(stick, found.of(role).offset_bytes, 4096) == get(path, layout.of(role).offset_bytes, 4096)
    for offset in (layout.of("esp").offset_bytes + 20 * MIB, layout.of("parcels").offset_bytes + 200 * MIB):
        assert get(stick, offset, 10 * MIB) == get(path, offset, 10 * MIB)


def test_the_table_on_the_device_is_sound_to_another_program(stick: Path, image: tuple[Path, Layout]) -> None:
    written(image[0], stick)
    assert "No problems found" in run(["sgdisk", "--verify", stick]).stdout


def test_only_a_fraction_of_a_sparse_image_is_written(stick: Path, image: tuple[Path, Layout]) -> None:
    report = written(image[0], stick)
    assert report.written_bytes < 80 * MIB
    assert report.left_bytes > 300 * MIB


def test_holes_that_matter_become_zero_where_the_device_forgets_nothing(
    stick: Path, image: tuple[Path, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RawDevice, "discard", lambda _self, _advance: False)
    path, layout = image
    esp, host_b, parcels = (layout.of(role).offset_bytes for role in ("esp", "host-b", "parcels"))
    zeroed = (esp + 3 * MIB, esp + 19 * MIB, host_b, parcels + MIB, parcels + 15 * MIB, DEVICE_BYTES - MIB)
    make_stale(stick, *zeroed, parcels + 100 * MIB)
    report = written(path, stick)
    assert not report.discarded
    for offset in zeroed[:3]:
        assert get(stick, offset, MIB) == bytes(MIB)
    assert STALE * 16 not in get(stick, parcels, 3 * MIB)
    assert STALE * 16 not in get(stick, parcels + 15 * MIB, MIB)
    assert STALE * 16 not in get(stick, DEVICE_BYTES - MIB, MIB)
    assert get(stick, parcels + 100 * MIB, MIB) == STALE * MIB  # unused space of the encrypted store: nobody reads it


def test_a_byte_that_changed_on_the_device_is_found_and_named(
    stick: Path, image: tuple[Path, Layout], tmp_path: Path
) -> None:
    path, layout = image
    changed = layout.of("parcels").offset_bytes + 200 * MIB + 4_321_012

    def flip() -> None:
        before = get(path, changed, 1)[0]
        put(stick, changed, bytes([before ^ 1]))

    with pytest.raises(VerifyFailed, match=f"first at byte {changed}$"):
        written(path, stick, CallAt("Reading it back", flip))
    with pytest.raises(BadImage):
        read_layout(stick)


@pytest.mark.parametrize("step", ["Writing", "Reading it back"])
def test_interrupted_writing_leaves_no_stick(stick: Path, image: tuple[Path, Layout], step: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as interrupted:
        written(image[0], stick, CallAt(step, interrupt))
    assert "no partition table" in interrupted.value.hint
    assert get(stick, 0, MIB) == bytes(MIB)
    with pytest.raises(BadImage):
        read_layout(stick)


def test_a_device_whose_sectors_the_esp_cannot_have_is_refused_and_left_alone(
    tmp_path: Path, image: tuple[Path, Layout]
) -> None:
    path, layout = image
    write_esp(path, layout.of("esp"), "SOULPAD", {"file": b"content"})
    with loop_device(tmp_path / "backing", DEVICE_BYTES, 4096) as device:
        make_stale(device, 0)
        with pytest.raises(DeviceRefused, match="sectors of 4096 bytes are too large"):
            written(path, device)
        assert get(device, 0, MIB) == STALE * MIB


def test_a_stick_written_before_can_be_written_again(stick: Path, image: tuple[Path, Layout]) -> None:
    written(image[0], stick)
    put(stick, read_layout(stick).of("esp").offset_bytes, b"changed by a PC")
    written(image[0], stick)
    assert get(stick, read_layout(stick).of("esp").offset_bytes, 3) == b"esp"


def test_a_device_that_fails_while_being_written_is_named_with_the_byte(
    tmp_path: Path, image: tuple[Path, Layout]
) -> None:
    with failing_device(tmp_path, DEVICE_BYTES, 24 * MIB) as device:
        with pytest.raises(DeviceFailed, match=r"cannot be written at byte \d+: "):
            written(image[0], device)
        with pytest.raises(BadImage):
            read_layout(device)


def test_a_mounted_device_is_refused_with_exit_code_20_and_keeps_its_files(
    stick: Path, image: tuple[Path, Layout], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["mke2fs", "-q", "-t", "ext4", stick])
    folder = tmp_path / "mounted"
    folder.mkdir()
    run(["mount", stick, folder])
    try:
        (folder / "letter").write_text("still here")
        assert main(["write", str(image[0]), str(stick), "--yes", "--allow-loop-device"]) == 20
        assert (folder / "letter").read_text() == "still here"
    finally:
        run(["umount", folder])
    said = capsys.readouterr().err
    assert f"{stick} is mounted at {folder}, so it will not be written" in said
    assert f"umount {folder}" in said


def test_a_device_that_another_program_holds_is_refused(stick: Path, image: tuple[Path, Layout]) -> None:
    device = resolve(str(stick), allow_loop=True)
    holder = os.open(stick, os.O_RDONLY | os.O_EXCL)
    try:
        with pytest.raises(DeviceRefused, match="in use by another program"):
            resolve(str(stick), allow_loop=True)
        with pytest.raises(DeviceRefused, match="cannot be opened for writing"):  # taken since it was looked at
            write_image(image[0], device, WriteOptions(), Silent())
    finally:
        os.close(holder)


def test_another_device_under_the_same_name_is_refused(stick: Path, image: tuple[Path, Layout], tmp_path: Path) -> None:
    device = resolve(str(stick), allow_loop=True)
    with loop_device(tmp_path / "other", DEVICE_BYTES) as other:
        exchanged = replace(device, path=other)
        with pytest.raises(DeviceRefused, match="another device than a moment ago"):
            write_image(image[0], exchanged, WriteOptions(), Silent())
        assert get(other, 0, 4096) == bytes(4096)


def test_a_partition_is_refused_and_its_disk_is_named(tmp_path: Path) -> None:
    with loop_device(tmp_path / "backing", 64 * MIB) as stick:
        add_partition(stick)
        with pytest.raises(DeviceRefused) as refused:
            resolve(f"{stick}p1", allow_loop=True)
        assert refused.value.hint == f"name the whole disk: {stick}"


def test_a_disk_with_a_mounted_partition_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    with loop_device(tmp_path / "backing", 64 * MIB) as stick, ExitStack() as undo:
        add_partition(stick)
        run(["mke2fs", "-q", "-t", "ext4", f"{stick}p1"])
        run(["mount", f"{stick}p1", folder])
        undo.callback(run, ["umount", folder])
        with pytest.raises(DeviceRefused, match=f"{stick} is mounted at {folder}"):
            resolve(str(stick), allow_loop=True)


def test_loop_devices_are_no_sticks_unless_a_test_says_so(stick: Path, image: tuple[Path, Layout]) -> None:
    make_stale(stick, 0)
    assert main(["write", str(image[0]), str(stick), "--yes"]) == 20
    assert get(stick, 0, MIB) == STALE * MIB


def test_a_device_too_small_is_refused_with_exit_code_21_and_left_alone(
    tmp_path: Path, image: tuple[Path, Layout]
) -> None:
    with loop_device(tmp_path / "backing", 64 * MIB) as device:
        make_stale(device, 0, 63 * MIB)
        assert main(["write", str(image[0]), str(device), "--yes", "--allow-loop-device"]) == 21
        assert get(device, 0, MIB) + get(device, 63 * MIB, MIB) == STALE * 2 * MIB


@pytest.mark.parametrize("damage", ["truncated", "not ours", "missing"])
def test_an_image_that_is_not_whole_is_refused_with_exit_code_30(
    stick: Path, image: tuple[Path, Layout], damage: str
) -> None:
    path, layout = image
    if damage == "truncated":
        os.truncate(path, layout.total_bytes - MIB)
    elif damage == "not ours":
        path.write_bytes(os.urandom(MIB))
    else:
        path.unlink()
    make_stale(stick, 0)
    assert main(["write", str(path), str(stick), "--yes", "--allow-loop-device"]) == 30
    assert get(stick, 0, MIB) == STALE * MIB


def test_the_disk_of_the_running_system_is_refused_with_exit_code_20(
    image: tuple[Path, Layout], capsys: pytest.CaptureFixture[str]
) -> None:
    number = Path("/").stat().st_dev
    name = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
    if not Path("/dev", name).is_block_device():
        pytest.skip("the root file system is on no disk here")
    assert main(["write", str(image[0]), f"/dev/{name}", "--yes"]) == 20
    assert "will not be written" in capsys.readouterr().err


def test_without_a_terminal_and_without_yes_nothing_is_written(
    stick: Path, image: tuple[Path, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_stale(stick, 0)
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert main(["write", str(image[0]), str(stick), "--allow-loop-device"]) == 2
    assert get(stick, 0, MIB) == STALE * MIB


def test_several_devices_are_written_and_reported_as_json(
    tmp_path: Path, image: tuple[Path, Layout], capsys: pytest.CaptureFixture[str]
) -> None:
    with loop_device(tmp_path / "a", DEVICE_BYTES) as first, loop_device(tmp_path / "b", DEVICE_BYTES, 4096) as second:
        named = [str(first), str(second)]
        assert main(["write", str(image[0]), *named, "--yes", "--json", "--no-verify", "--allow-loop-device"]) == 0
        assert read_layout(first).stick_id == read_layout(second).stick_id == STICK_ID
    report = json.loads(capsys.readouterr().out)
    assert [device["device"] for device in report["devices"]] == named
    assert [device["verified"] for device in report["devices"]] == [False, False]
