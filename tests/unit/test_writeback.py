"""What the kernel is told about writing a guest's memory back, and that it is told the opposite afterwards."""

from __future__ import annotations

import os
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
        return folder / "min_ratio"

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
        assert kernel.get("dirty_background_bytes") == writeback.SLOW_BYTES_PER_SECOND * writeback.SUSPEND_SECONDS


def test_a_store_that_was_quiet_for_long_has_the_whole_bound(kernel: Kernel) -> None:
    share = kernel.add(NULL)
    with writeback.held_back(NULL):
        assert int(share.read_text()) == 99
    assert int(share.read_text()) == 0


def test_two_stores_have_a_bound_each(kernel: Kernel) -> None:
    shares = [kernel.add(NULL), kernel.add(ZERO)]
    with writeback.held_back(NULL, ZERO):
        assert sum(int(share.read_text()) for share in shares) < 100, "the kernel promises no more than there is"
        assert kernel.get("dirty_background_bytes") == 2 * writeback.bound_bytes(writeback.SLOW_BYTES_PER_SECOND)


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


def test_a_kernel_without_such_settings_is_no_reason_to_end_a_session(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(writeback, "VM", tmp_path / "nowhere")
    with writeback.held_back(NULL):
        pass
    assert not (tmp_path / "nowhere").exists()
