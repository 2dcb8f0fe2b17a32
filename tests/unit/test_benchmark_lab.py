"""The benchmarks' laboratory: throttles, traffic, the guest's words, the chamber."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.lab.chamber import Chamber
from benchmarks.lab.enter import mount_argvs, reap_until
from benchmarks.lab.guest import GuestSerial, LineReader, require_continues
from benchmarks.lab.stockdomain import libvirt_model, stock_xml
from benchmarks.lab.store import Traffic, parse_traffic
from benchmarks.lab.storedevice import losetup_argv
from benchmarks.lab.thismachine import field_of, this_machine
from benchmarks.lab.throttle import SLOW_STICK, Speeds, has_version_1, require_near, settings
from soulpad.base.errors import ProgramFailed, VerifyFailed
from soulpad.store.parcel import Disk, Machine, ParcelDescription

REPORT = {"boot_id": "b", "session_id": "s", "pattern_goal_mib": 256, "counter": 31}


def test_traffic_counts_sectors_of_512_bytes_even_on_a_device_with_larger_ones() -> None:
    stat = "     100        5     2048       30       50        1     4096       20        0       40       50"
    assert parse_traffic(stat) == Traffic(read_bytes=1 << 20, written_bytes=2 << 20)


def test_traffic_of_a_step_is_the_difference() -> None:
    assert Traffic(10, 7) - Traffic(4, 2) == Traffic(6, 5)


def test_version_1_throttle_is_of_the_root_group_and_zero_lifts_it() -> None:
    assert settings("7:3", Speeds(38, 10), version_1=True) == {
        "blkio/blkio.throttle.read_bps_device": "7:3 38",
        "blkio/blkio.throttle.write_bps_device": "7:3 10",
    }
    assert set(settings("7:3", None, version_1=True).values()) == {"7:3 0"}


def test_version_2_throttle_is_of_our_own_group_and_max_lifts_it() -> None:
    assert settings("7:3", Speeds(38, 10), version_1=False) == {"soulpad-lab/io.max": "7:3 rbps=38 wbps=10"}
    assert settings("7:3", None, version_1=False) == {"soulpad-lab/io.max": "7:3 rbps=max wbps=max"}


def test_throttle_version_is_told_by_its_files(tmp_path: Path) -> None:
    assert not has_version_1(tmp_path)
    (tmp_path / "blkio").mkdir()
    (tmp_path / "blkio/blkio.throttle.read_bps_device").touch()
    assert has_version_1(tmp_path)


def test_throttle_that_does_not_hold_is_an_error() -> None:
    assert require_near(Speeds(36_000_000, 10_500_000), SLOW_STICK) == Speeds(36_000_000, 10_500_000)
    with pytest.raises(ProgramFailed, match="write"):
        require_near(Speeds(38_000_000, 90_000_000), SLOW_STICK)
    with pytest.raises(ProgramFailed, match="read"):
        require_near(Speeds(12_000_000, 10_000_000), SLOW_STICK)


def test_loop_device_has_the_stores_sectors_and_no_cache_below_it() -> None:
    argv = losetup_argv(Path("store.img"))
    assert argv[argv.index("--sector-size") + 1] == "4096"
    assert "--direct-io=on" in argv


def test_guests_lines_are_put_together_and_others_skipped() -> None:
    reader = LineReader()
    assert reader.feed(b'GRUB loading\r\n{"soul": {"cou') == []
    assert reader.feed(b'nter": 3}}\r\n[1]\n{"done"') == [{"soul": {"counter": 3}}]


def test_resumed_guest_must_be_the_same_session_and_not_go_back() -> None:
    later = REPORT | {"counter": 32}
    assert require_continues(REPORT, later) == later
    for wrong in ({"boot_id": "c"}, {"session_id": "t"}, {"counter": 30}, {"pattern_goal_mib": 200}):
        with pytest.raises(VerifyFailed):
            require_continues(REPORT, REPORT | wrong)


def test_damaged_memory_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    port = GuestSerial()
    monkeypatch.setattr(port, "last_report", lambda: {"pattern_ok": True})
    monkeypatch.setattr(port, "command", lambda _: "256 MiB are as they were")
    port.verify()
    monkeypatch.setattr(port, "command", lambda _: "1 MiB are NOT as they were")
    with pytest.raises(VerifyFailed):
        port.verify()


def test_port_hears_a_guest_that_comes_and_goes() -> None:
    port = GuestSerial()
    for counter in (1, 2):
        with port.device.open("wb", buffering=0) as theirs:
            theirs.write(b'{"soul": {"counter": %d}}\n' % counter)
        while port.boot() and port.last_report()["counter"] != counter:  # its own patience ends a wait for nothing
            time.sleep(0.01)


def test_chamber_has_namespaces_of_its_own_that_die_with_it() -> None:
    argv = Chamber(Path("/root"), Path("/lib")).argv("some.module", {"a": 1})
    assert argv[0] == "unshare"
    assert {"--mount", "--pid", "--fork", "--kill-child=SIGKILL"} <= set(argv)
    assert argv[-2:] == ["some.module", '{"a": 1}']


def test_chamber_binds_the_product_itself_not_a_copy() -> None:
    mounts = mount_argvs(Path("/root"), Path("/made/lib"))
    targets = {argv[-1]: argv[-2] for argv in mounts}
    assert targets["/root/usr/lib/soulpad/python/soulpad"].endswith("/soulpad")
    assert targets["/root/usr/lib/soulpad/lib"] == "/made/lib"


def test_first_process_gives_the_exit_code_of_its_child() -> None:
    child = os.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(31)"])
    assert reap_until(child) == 31


def test_machine_is_described_from_what_the_kernel_says() -> None:
    assert field_of("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n", "model name") == "Some CPU @ 2 GHz"
    assert field_of("", "model name") == "unknown"
    machine = this_machine()
    assert machine["cores"] >= 1
    assert machine["memory_mib"] > 100


def test_compared_domain_has_the_same_devices_and_none_of_the_products_command_line() -> None:
    machine = Machine(memory_mib=512, disks=(Disk("disk-0.img", 1 << 30),), cpu_model="Nehalem-v1,-vme")
    disk, serial = Path("/store/disk-0.img"), Path("/dev/pts/9")
    xml = stock_xml(ParcelDescription("work", machine), disk, serial)
    assert "commandline" not in xml
    assert not any(word in xml for word in ("memory-backend", "LD_PRELOAD", "incoming", "ram.img"))
    assert '<source file="/store/disk-0.img" />' in xml
    assert '<source path="/dev/pts/9" />' in xml
    assert '<model fallback="forbid">Nehalem</model><feature policy="disable" name="vme" />' in xml


def test_libvirts_cpu_model_has_no_number_of_its_first_version() -> None:
    assert libvirt_model("Nehalem-v1,-vme") == ["Nehalem", "-vme"]
    assert libvirt_model("EPYC-v2") == ["EPYC-v2"]
