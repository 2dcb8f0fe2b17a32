"""What the kernel is told about writing a guest's memory back, and that it is told the opposite afterwards."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from soulpad.session import writeback
from soulpad.session.periodic import MOST_INTERVAL_SECONDS

LINUX = {
    "dirty_background_bytes": "0",
    "dirty_background_ratio": "10",
    "dirty_bytes": "0",
    "dirty_expire_centisecs": "3000",
    "dirty_ratio": "20",
}


class Kernel:
    """Its files, as it hands them out before anybody has changed them."""

    def __init__(self, folder: Path) -> None:
        self.vm, self.bdi = folder / "vm", folder / "bdi"
        self.vm.mkdir()
        for name, value in LINUX.items():
            (self.vm / name).write_text(f"{value}\n")

    def add(self, device: Path) -> Path:
        number = device.stat().st_rdev
        folder = self.bdi / f"{os.major(number)}:{os.minor(number)}"
        folder.mkdir(parents=True)
        (folder / "min_ratio").write_text("0\n")
        (folder / "max_ratio").write_text("100\n")
        return folder

    def get(self, name: str) -> int:
        return int((self.vm / name).read_text())


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    monkeypatch.setattr(writeback, "VM", made.vm)
    monkeypatch.setattr(writeback, "BDI", made.bdi)
    return made


NULL, ZERO = Path("/dev/null"), Path("/dev/zero")  # devices with numbers, whoever runs the tests


def test_memory_is_not_written_for_its_age_before_a_checkpoint_writes_it(kernel: Kernel) -> None:
    kernel.add(NULL)
    with writeback.held_back(NULL):
        assert kernel.get("dirty_expire_centisecs") / 100 > MOST_INTERVAL_SECONDS


def test_a_suspend_never_has_more_to_write_than_a_person_waits_for(kernel: Kernel) -> None:
    kernel.add(NULL)
    with writeback.held_back(NULL):
        kept = kernel.get("dirty_background_bytes") * writeback.WHOLE_SHARE_PERCENT / 100
        assert kept == pytest.approx(writeback.SLOW_BYTES_PER_SECOND * writeback.SUSPEND_SECONDS)


def test_a_store_that_was_quiet_for_long_has_the_whole_bound(kernel: Kernel) -> None:
    folder = kernel.add(NULL)
    with writeback.held_back(NULL):
        assert int((folder / "min_ratio").read_text()) == 99
    assert [int((folder / name).read_text()) for name in ("min_ratio", "max_ratio")] == [0, 100]


def test_several_stores_have_a_bound_each_and_leave_room_for_other_disks(kernel: Kernel) -> None:
    folders = [kernel.add(NULL), kernel.add(ZERO)]
    with writeback.held_back(NULL, ZERO, share_percent=10):
        for folder in folders:
            for name in ("min_ratio", "max_ratio"):
                kept = kernel.get("dirty_background_bytes") * int((folder / name).read_text()) / 100
                assert kept == writeback.bound_bytes(writeback.SLOW_BYTES_PER_SECOND)


@pytest.mark.parametrize("failure", [None, RuntimeError, KeyboardInterrupt])
def test_afterwards_the_machine_is_set_as_before_whatever_happened(
    kernel: Kernel, failure: type[BaseException] | None
) -> None:
    kernel.add(NULL)
    try:
        with writeback.held_back(NULL):
            (kernel.vm / "dirty_background_ratio").write_text("0\n")  # as the kernel does when bytes are set
            if failure:
                raise failure
    except (RuntimeError, KeyboardInterrupt):
        pass
    for name in ("dirty_expire_centisecs", "dirty_background_ratio", "dirty_ratio"):
        assert kernel.get(name) == int(LINUX[name])


def test_of_twins_only_the_one_that_counts_is_put_back() -> None:
    found = {Path(name): value for name, value in LINUX.items()} | {Path("min_ratio"): "0"}
    kept = {path.name for path in writeback.to_restore(found)}
    assert kept == {"dirty_background_ratio", "dirty_ratio", "dirty_expire_centisecs", "min_ratio"}


@pytest.mark.parametrize(
    ("written_mib", "seconds", "at_least", "at_most"),
    [(100, 10.0, 25 * 10, 25 * 11), (2000, 10.0, 25 * 200, 25 * 210), (50, 50.0, 100, 100), (16, 0.1, 4000, 4200)],
)
def test_the_bound_follows_what_the_stick_is_seen_to_do(
    written_mib: int, seconds: float, at_least: int, at_most: int
) -> None:
    bound = writeback.fitted_bound(written_mib << 20, seconds)
    assert bound and at_least <= bound / 1e6 <= at_most


def test_a_checkpoint_of_an_idle_guest_tells_nothing_of_the_stick() -> None:
    assert writeback.fitted_bound(writeback.WORTH_MEASURING_BYTES - 1, 0.001) is None
    assert writeback.fitted_bound(0, 0.0) is None


@pytest.mark.parametrize("failure", [None, OSError])
def test_a_checkpoint_fits_the_bound_even_if_it_failed(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[Exception] | None
) -> None:
    stat = tmp_path / "block" / "null" / "stat"
    stat.parent.mkdir(parents=True)
    monkeypatch.setattr(writeback, "BLOCK", tmp_path / "block")
    kernel.add(NULL)

    def traffic(written_sectors: int) -> None:
        stat.write_text(f"1 0 8 0 1 0 {written_sectors} 0 0 0 0 0 0 0 0 0 0\n")

    traffic(1000)
    refused = nullcontext() if failure is None else pytest.raises(failure)
    with writeback.held_back(NULL), refused, writeback.fitted_to_stick(NULL):
        traffic(1000 + (32 << 20) // 512)
        if failure:
            raise failure
    assert kernel.get("dirty_background_bytes") > writeback.bound_bytes(writeback.SLOW_BYTES_PER_SECOND)


def test_a_device_of_which_nothing_is_known_is_no_reason_for_a_checkpoint_to_fail(tmp_path: Path) -> None:
    assert writeback.written_bytes(tmp_path / "nowhere") == 0


def test_a_kernel_without_such_settings_is_no_reason_to_end_a_session(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(writeback, "VM", tmp_path / "nowhere")
    with writeback.held_back(NULL):
        pass
    assert not (tmp_path / "nowhere").exists()
