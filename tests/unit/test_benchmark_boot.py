"""What the boot benchmark decides: what it measures, compares and says, and what the stock way is made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.boot import main
from benchmarks.lab.boot_report import HOST_LIMIT_BYTES, TITLES, facts, goals, ratios, report_of, sizes, table
from benchmarks.lab.boot_run import our_memory, our_way, stock_memory, stock_way
from benchmarks.lab.stockhost import grub_config, squashfs_argv, stock_key, stock_layout
from benchmarks.lab.stockinside import install_argvs
from benchmarks.lab.stockroot import unmask
from builder.host.image import HostImage
from soulpad.base.errors import BadInput
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB

OURS = {name: 10.0 if name.endswith("seconds") else 20_000_000 for name in TITLES}
STOCK = {name: 50.0 if name.endswith("seconds") else 50_000_000 for name in TITLES}
MEMORY = {"prompt_available_mib": 1500, "prompt_used_mib": 400}


def image(folder: Path, host_bytes: int) -> HostImage:
    folder.mkdir()
    made = HostImage(folder, "1")
    for path, length in ((made.squashfs, host_bytes), (made.initrd, 2000), (made.kernel, 3000)):
        with path.open("wb") as file:
            file.truncate(length)
    return made


def report(tmp_path: Path) -> dict[str, object]:
    machine = {"cpu": "Some CPU", "cores": 2, "memory_mib": 8000, "kernel": "6.1", "load": 0.5}
    compared = report_of({"ours": [OURS | MEMORY], "stock": [STOCK | MEMORY]})
    both = sizes(image(tmp_path / "ours", 1000), image(tmp_path / "stock", 1000))
    seconds = {"ours": {"assembly": 30.0}, "stock": {"initrd": 20.0}, "stock_made_earlier": True}
    return {"machine": machine, "pc": "old-desktop", "runs": 1, **compared, "sizes": both, "build_seconds": seconds}


def test_ratio_says_how_many_times_more_the_stock_way_needs() -> None:
    assert ratios(OURS, STOCK)["prompt_seconds"] == 5.0
    assert ratios(OURS, STOCK)["prompt_read_bytes"] == 2.5


def test_goal_is_a_third_of_the_seconds_and_of_the_bytes_to_the_prompt() -> None:
    assert goals(ratios(OURS, STOCK)) == {"prompt_seconds": True, "prompt_read_bytes": False}
    assert goals({"prompt_seconds": 2.99, "prompt_read_bytes": 3.0}) == {
        "prompt_seconds": False,
        "prompt_read_bytes": True,
    }


def test_median_is_compared_and_every_run_stays_in_the_report() -> None:
    slow = STOCK | {"prompt_seconds": 90.0}
    slower = STOCK | {"prompt_seconds": 60.0}
    result = report_of({"ours": [OURS] * 3, "stock": [STOCK, slow, slower]})
    assert result["ratios"]["prompt_seconds"] == 6.0
    assert result["stock"]["each"] == [STOCK, slow, slower]


def test_host_above_its_limit_is_called_so(tmp_path: Path) -> None:
    small = image(tmp_path / "small", HOST_LIMIT_BYTES)
    large = image(tmp_path / "large", HOST_LIMIT_BYTES + 1)
    assert sizes(small, large)["host_within_limit"] is True
    assert sizes(large, small)["host_within_limit"] is False


def test_people_read_figures_goals_and_what_was_measured(tmp_path: Path) -> None:
    made = report(tmp_path)
    assert list(table(made).columns[3].cells)[:2] == ["5.0", "2.5"]
    text = "\n".join(facts(made))
    assert "a third of power on to prompt: met" in text
    assert "a third of read by then: NOT met" in text
    assert "400 MiB used, 1500 MiB available" in text
    assert "initrd 20 s" in text
    assert "nothing is saved" in text


def test_memory_is_read_from_what_the_login_reports() -> None:
    log = "stock login: STOCK\nSTOCK MemTotal: 2048000\nSTOCK MemAvailable: 1024000\n"
    assert stock_memory(log) == {"prompt_available_mib": 1000, "prompt_used_mib": 1000}


def test_our_memory_is_read_from_what_the_session_reports() -> None:
    log = 'SOULPAD {"event": "session-service", "uptime": 40.0, "memory_mib": 1973, "available_mib": 1800}\n'
    assert our_memory(log) == {"prompt_available_mib": 1800, "prompt_used_mib": 173}


def test_the_two_ways_do_not_mistake_each_others_milestones() -> None:
    ours, stock = our_way(Secret(b"words")), stock_way()
    assert ours.prompt != stock.prompt
    assert ours.session != stock.session
    assert "words" not in repr(ours)


def test_masks_and_the_hosts_own_target_go_and_other_links_stay(tmp_path: Path) -> None:
    (tmp_path / "getty@.service").symlink_to("/dev/null")
    (tmp_path / "default.target").symlink_to("/usr/lib/systemd/system/soulpad.target")
    (tmp_path / "dbus-some.service").symlink_to("/usr/lib/systemd/system/some.service")
    (tmp_path / "multi-user.target.wants").mkdir()
    unmask(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dbus-some.service", "multi-user.target.wants"]


def test_stock_way_is_debians_usual_target_with_libvirts_daemon() -> None:
    argvs = install_argvs(["/a.deb"])
    assert ["systemctl", "set-default", "multi-user.target"] in argvs
    (enable,) = (argv for argv in argvs if argv[:2] == ["systemctl", "enable"])
    assert {"libvirtd.service", "getty@tty1.service", "serial-getty@ttyS0.service"} <= set(enable)


def test_kernel_is_told_the_partition_that_the_stick_has() -> None:
    layout = stock_layout(100 * MIB + 1, "01234567")
    assert f"root=PARTLABEL={layout.of('host-a').name} " in grub_config("01234567")
    assert layout.of("host-a").size_bytes >= 100 * MIB + 1


def test_squashfs_is_compressed_as_the_products_and_keeps_mount_points() -> None:
    words = [str(word) for word in squashfs_argv(Path("/root"), Path("/made"), 15)]
    assert words[words.index("-Xcompression-level") + 1] == "15"
    assert "dev/*" in words
    assert "dev" not in words


def test_another_root_or_level_is_another_stock_host() -> None:
    keys = {stock_key(Path("a.tar"), 15), stock_key(Path("b.tar"), 15), stock_key(Path("a.tar"), 3)}
    assert len(keys) == 3
    assert stock_key(Path("a.tar"), 15) in keys


def test_without_root_it_says_so_and_ends_with_the_code_of_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--json"]) == BadInput.exit_code
    captured = capsys.readouterr()
    assert "root" in captured.err
    assert captured.out == ""


def test_no_runs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "0"]) == BadInput.exit_code
    assert "--runs 1" in capsys.readouterr().err
