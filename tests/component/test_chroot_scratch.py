"""What work in chroots leaves behind, with real mounts and processes: nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from builder.debian.chroot_scratch import mounts_below, scratch_folder
from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run, start

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]


def left_mounted(folder: Path) -> list[Path]:
    return mounts_below(folder, Path("/proc/self/mounts").read_text())


def mount_like_a_build(scratch: Path) -> Path:
    root = scratch / "with space" / "mnt"
    root.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "tmpfs", root])
    for name in ("dev", "proc"):
        (root / name).mkdir()
        run(["mount", "--bind", f"/{name}", root / name])
    return root


def test_an_error_leaves_neither_mounts_nor_files_and_the_machines_own_dev(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path, "guest") as scratch:
        mount_like_a_build(scratch)
        assert len(left_mounted(tmp_path)) == 3
        raise KeyboardInterrupt
    assert left_mounted(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/null").is_char_device()


def test_a_process_that_stayed_in_the_chroot_is_ended_so_that_nothing_holds_the_mounts(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "guest") as scratch:
        root = mount_like_a_build(scratch)
        for name in ("usr", "lib", "lib64", "bin"):
            (root / name).mkdir()
            run(["mount", "--bind", f"/{name}", root / name])
        daemon = start(["chroot", root, "/bin/sleep", "600"])
        while Path(f"/proc/{daemon.pid}/root").readlink() == Path("/"):
            time.sleep(0.01)
    assert daemon.wait() == -9
    assert left_mounted(tmp_path) == []


def test_no_file_is_removed_while_something_stays_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.debian.chroot_scratch.time.sleep", lambda seconds: None)
    with pytest.raises(ProgramFailed, match="mounts are left"), scratch_folder(tmp_path, "guest") as scratch:
        root = mount_like_a_build(scratch)
        (root / "precious").write_text("kept")
        busy = start(["sleep", "600"], stdout=(root / "held").open("wb"))
    assert (root / "precious").read_text() == "kept"
    busy.kill()
    busy.wait()
    for point in left_mounted(tmp_path):
        run(["umount", point])
