"""The emulated PC itself, with sticks so small that it starts in a second: a boot sector of our own for BIOS PCs,
an empty disk (and so the firmware's own screens) for UEFI PCs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.pc.internal_disk import FILES_AT_BYTES, make_internal_disk, plan_disk, sha256_sparse
from builder.pc.machine import Throttle, UsbDisk
from builder.pc.profile import DiskBus, FileSystem, InternalDisk, find_profile
from builder.pc.running import GuestPanicked, WaitedInVain, power_on
from builder.pc.screen import differs, is_blank
from soulpad.base.errors import EmulatedPcFailed
from soulpad.base.run import run, start
from soulpad.base.units import KIB, MIB
from soulpad.cli.main import main

pytestmark = pytest.mark.component

PATIENCE_SECONDS = 120  # for a loaded machine; a quiet one needs three
LAPTOP_SECONDS = 240
OLD = replace(find_profile("old-desktop"), memory_mib=128)
LAPTOP = replace(find_profile("secure-laptop"), memory_mib=512, cpus=1)  # the firmware is thrice as fast with one CPU

# A program of 16 bits at 0x7c00. It writes itself to the stick's second sector, says a word on the first serial port
# and another on the second, echoes each key there and 40 times on the screen, and switches off by the power button.
ADDRESS = 0x7C00
WRITE_ITSELF = "fc 31c0 8ed8 8ec0 8ed0 bc007c b80103 bb007c b90200 30f6 cd13"  # int 13h, one sector, from 0x7c00
SAY_BOTH = "baf803 be{ready} e84900 baf802 be{report} e84000"  # ports 3f8 and 2f8
ENABLE_BUTTON = "ba0206 b80001 ef"  # ACPI's PM1 enable, power button
WAIT = "ba0006 ed f6c401 751e b401 cd16 74f1"  # the button's status bit, then int 16h: a key?
ECHO = "30e4 cd16 baf803 e82a00 b40e bb0f00 b92800 cd10 e2fc ebd9"  # to the serial port, then int 10h
SWITCH_OFF = "baf803 be{button} e80900 ba0406 b80020 ef ebee"  # ACPI's PM1 control, sleep state 5
SAY = "ac 84c0 7413 e80200 ebf6 50 83c205 ec a820 74fb 83ea05 58 ee c3"
PROGRAM = WRITE_ITSELF + SAY_BOTH + ENABLE_BUTTON + WAIT + ECHO + SWITCH_OFF + SAY
PROGRAM_BYTES = 0x84


def boot_sector(ready: bytes = b"READY FOR KEYS\r\n") -> bytes:
    """The program, followed by its words, each ended by a zero."""
    words = {"ready": ready, "report": b"THE GUEST REPORTS\r\n", "button": b"\r\nPOWER BUTTON\r\n"}
    addresses, text = {}, b""
    for name, word in words.items():
        addresses[name] = (ADDRESS + PROGRAM_BYTES + len(text)).to_bytes(2, "little").hex()
        text += word + b"\0"
    program = bytes.fromhex(PROGRAM.format(**addresses))
    assert len(program) == PROGRAM_BYTES
    return (program + text).ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick, the first.img"  # the comma is part of the name
    path.write_bytes(boot_sector().ljust(4 * MIB, b"\0"))
    return path


@pytest.fixture(autouse=True)
def nothing_is_left_running(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(qemus_using(tmp_path))


def qemus_using(folder: Path) -> Iterator[int]:
    """Ids of the QEMU processes that were given files of ``folder``."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if words.split(b"\0")[0].endswith(b"qemu-system-x86_64") and os.fsencode(folder) in words:
            yield int(process.name)


def test_old_desktop_is_used_as_a_person_would(stick: Path, tmp_path: Path) -> None:
    with power_on(OLD, stick, tmp_path / "pc") as pc:
        pc.wait_for_serial("READY FOR KEYS", PATIENCE_SECONDS)
        pc.wait_for_serial("THE GUEST REPORTS", PATIENCE_SECONDS, port=1)
        before = pc.screenshot(tmp_path / "before.png")
        pc.type_text('Hi, "You" {2}\n')
        pc.wait_for_serial(re.escape('Hi, "You" {2}'), PATIENCE_SECONDS)
        after = pc.screenshot(tmp_path / "after.png")
        assert differs(before, after) and not is_blank(after)
        assert pc.is_on()
        pc.press_power_button()
        pc.wait_for_power_off(PATIENCE_SECONDS)
        assert pc.powered_off and not pc.is_on()
        assert "POWER BUTTON" in pc.serial()
        statistics = pc.block_statistics()
    assert (statistics.read_bytes, statistics.written_bytes) == (512, 512)
    assert stick.read_bytes()[512:1024] == boot_sector()
    assert not list(tmp_path.rglob(".*"))


def test_secure_laptop_shows_its_firmware_and_its_power_can_be_cut(tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.write_bytes(bytes(MIB))
    with power_on(LAPTOP, empty, tmp_path / "pc") as pc:
        pc.wait_for_serial("Press any key to enter the Boot Manager", LAPTOP_SECONDS)
        assert "Security Violation" in pc.serial()  # the firmware's own shell is not signed: Secure Boot is enforced
        pc.press("ret")
        pc.wait_for_serial("Device Manager", LAPTOP_SECONDS)
        picture = pc.screenshot(tmp_path / "screen.png")
        pc.kill()
        assert not pc.is_on() and not pc.powered_off
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert empty.read_bytes() == bytes(MIB)


def test_waiting_in_vain_says_what_was_seen_instead(stick: Path, tmp_path: Path) -> None:
    with power_on(OLD, stick, tmp_path / "pc") as pc:
        pc.wait_for_serial("READY", PATIENCE_SECONDS)
        with pytest.raises(WaitedInVain, match=r"did not show 'resumed' on serial port 0.*(?s:.*)READY FOR KEYS"):
            pc.wait_for_serial("resumed", 0.2)
        assert len(list((tmp_path / "pc").glob("failure-*.png"))) == 1
        pc.press_power_button()
        with pytest.raises(WaitedInVain, match="went off without 'resumed'"):
            pc.wait_for_serial("resumed", PATIENCE_SECONDS)


def test_kernel_panic_ends_the_waiting_at_once(stick: Path, tmp_path: Path) -> None:
    stick.write_bytes(boot_sector(b"[ 9.1] Kernel panic - not syncing: no init\r\n").ljust(4 * MIB, b"\0"))
    with power_on(OLD, stick, tmp_path / "pc") as pc, pytest.raises(GuestPanicked, match="not syncing: no init"):
        pc.wait_for_serial("resumed", PATIENCE_SECONDS)


def test_power_cut_while_waiting_is_an_error_and_no_hang(stick: Path, tmp_path: Path) -> None:
    with power_on(OLD, stick, tmp_path / "pc") as pc:
        (qemu,) = qemus_using(tmp_path)
        os.kill(qemu, signal.SIGKILL)
        with pytest.raises(WaitedInVain, match="went off without power off"):
            pc.wait_for_power_off(PATIENCE_SECONDS)


def test_image_in_use_is_refused_with_the_reason(stick: Path, tmp_path: Path) -> None:
    with (
        power_on(OLD, stick, tmp_path / "pc"),
        pytest.raises(EmulatedPcFailed, match="lock") as refused,
        power_on(OLD, stick, tmp_path / "other"),
    ):
        pytest.fail("two PCs shared one stick")
    assert "has it open" in refused.value.hint


def test_usb_disks_come_and_go_while_the_pc_runs(stick: Path, tmp_path: Path) -> None:
    key = UsbDisk(stick.with_name("key.img"), logical_block_bytes=4096)
    key.path.write_bytes(bytes(MIB))
    with power_on(OLD, UsbDisk(stick, throttle=Throttle(10 * MIB, MIB)), tmp_path / "pc", more_usb_disks=[key]) as pc:
        pc.wait_for_serial("READY", PATIENCE_SECONDS)
        assert pc.block_statistics("usb1").written_bytes == 0
        pc.plug_in(UsbDisk(tmp_path / "pc" / "qemu.log"), "second")
        assert pc.block_statistics("second").read_bytes == 0
        pc.pull_out("second")
        pc.pull_out()
        assert pc.block_statistics().written_bytes == 512  # the last figures stay known
        seen = len(pc.serial())
        pc.reset()
        with pytest.raises(WaitedInVain):  # nothing is left to start from
            pc.wait_for_serial("READY", 1.5, since=seen)


def test_pc_ends_with_the_program_that_switched_it_on(stick: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from builder.pc.running import power_on\n"
        "from builder.pc.profile import find_profile\n"
        "with power_on(find_profile('old-desktop'), Path(sys.argv[1]), Path(sys.argv[2])): time.sleep(600)\n"
    )
    child = start([sys.executable, "-c", program, stick, tmp_path / "pc"])
    try:
        within(PATIENCE_SECONDS, lambda: len(list(qemus_using(tmp_path))) == 1)
        (qemu,) = qemus_using(tmp_path)
        sockets = re.search(rb"/tmp/soulpad-pc-\w+", Path(f"/proc/{qemu}/cmdline").read_bytes())
    finally:
        child.kill()
        child.wait()
    within(PATIENCE_SECONDS, lambda: not list(qemus_using(tmp_path)))
    assert sockets
    shutil.rmtree(os.fsdecode(sockets[0]))  # a killed program cannot tidy up


def within(seconds: float, condition) -> None:  # type: ignore[no-untyped-def]
    """Waits until ``condition()`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("filesystem", FileSystem)
def test_internal_disk_is_a_real_disk_with_files_and_swap(tmp_path: Path, filesystem: FileSystem) -> None:
    disk = InternalDisk(DiskBus.SATA, 128 * MIB, filesystem)
    path = tmp_path / "disk.img"
    make_internal_disk(disk, path)
    plan = plan_disk(disk)
    assert "No problems found" in run(["sgdisk", "-v", path]).stdout
    kinds = [
        run(["blkid", "-p", "-O", str(offset), "-s", "TYPE", "-o", "value", path]).stdout.strip()
        for offset in (FILES_AT_BYTES, plan.swap_at_bytes)
    ]
    assert kinds == [filesystem, "swap"]
    assert path.stat().st_blocks * 512 < path.stat().st_size / 4
    assert sha256_sparse(path) == run(["sha256sum", path]).stdout.split()[0]
    part = tmp_path / "part.img"
    run(
        ["dd", f"if={path}", f"of={part}", "bs=1M", f"skip={FILES_AT_BYTES // MIB}", f"count={plan.files_bytes // MIB}"]
    )
    run(["e2fsck", "-fn", part] if filesystem is FileSystem.EXT4 else ["fsck.vfat", "-n", part])


def test_internal_disk_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    too_small = InternalDisk(DiskBus.SATA, 40 * MIB + 64 * KIB, FileSystem.VFAT)
    with pytest.raises(Exception, match=r"mformat|sfdisk"):
        make_internal_disk(too_small, tmp_path / "disk.img")
    assert not list(tmp_path.iterdir())


def try_it(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["try", *map(str, words), "--pc", "old-desktop", "--headless"])
    return code, "".join(capsys.readouterr())


def test_try_with_a_copy_leaves_the_image_alone(
    stick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, log = tmp_path / "pictures", tmp_path / "serial.log"
    told = ["--type", "Hello", "--type-when", "READY", "--power-button-when", "Hello", "--timeout", PATIENCE_SECONDS]
    code, said = try_it(capsys, stick, "--copy", "--screenshots", pictures, "--serial-log", log, "--json", *told)
    assert code == 0, said
    assert stick.read_bytes()[512:1024] == bytes(512)
    assert b"Hello" in log.read_bytes()
    assert len(list(pictures.glob("screen-*.png"))) >= 2
    assert '"written_bytes": 512' in said


def test_try_changes_the_image_as_a_stick(stick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = try_it(capsys, stick, "--power-button-when", "READY", "--timeout", PATIENCE_SECONDS)
    assert code == 0, said
    assert stick.read_bytes()[512:1024] == boot_sector()


def test_try_fails_when_the_time_is_up(stick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = try_it(capsys, stick, "--timeout", 0.5)
    assert code == 60
    assert "had not switched itself off" in said


def test_ctrl_c_during_a_trial_leaves_nothing_behind(stick: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = (  # a shell's background job would ignore Ctrl-C
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from soulpad.cli.main import entry; entry()\n"
    )
    options = ("--pc", "old-desktop", "--headless", "--copy")
    child = start([sys.executable, "-c", program, "try", stick, *options], env={"TMPDIR": str(scratch)})
    try:
        within(PATIENCE_SECONDS, lambda: len(list(qemus_using(tmp_path))) == 1)
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
    finally:
        child.kill()
        child.wait()
    assert not list(scratch.iterdir())
